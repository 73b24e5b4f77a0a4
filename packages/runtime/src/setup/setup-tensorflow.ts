import { fillWhole, systemRefusal, writeRecord } from "@plumbline/tfjs-backend-torch/setup"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { TENSORFLOW_FOLDER, TENSORFLOW_RECORD, type TensorflowBinding } from "../backends/tensorflow.ts"
import { buildBinding } from "./build-binding.ts"
import { findTensorflow, versionOf } from "./find-tensorflow.ts"
import { run, SetupFailure } from "./setup-failure.ts"

// npm run setup:tensorflow – compiles tfjs-node's binding against the C library of a pip TensorFlow. LIBTENSORFLOW
// (a folder with include/ and libtensorflow_cc.so.2, such as site-packages/tensorflow) and CXX are read.

const TFJS_NODE = "4.22.0"
const PROTOBUF = "3.21.4"

const say = (line: string) => process.stderr.write(`setup:tensorflow: ${line}\n`)

/** The published package's sources and its one run-time dependency that tfjs does not bring; no install script runs. */
const unpack = (name: string, version: string): string => {
  const folder = join(TENSORFLOW_FOLDER, "node_modules", name)
  const isWhole = () => existsSync(join(folder, "package.json"))
  fillWhole(folder, isWhole, (target) => {
    mkdirSync(target)
    const pack = ["pack", "--loglevel=error", `${name}@${version}`]
    const archive = run("npm", pack, `npm pack ${name}@${version}`, target).split("\n").at(-1)!
    run("tar", ["xzf", archive, "--strip-components=1"], `unpacking ${archive}`, target)
  })
  return folder
}

try {
  if (process.platform !== "linux") throw new SetupFailure(`only Linux is supported, not ${process.platform}`)
  const tensorflow = findTensorflow(join(TENSORFLOW_FOLDER, "python"), say)
  const source = unpack("@tensorflow/tfjs-node", TFJS_NODE)
  unpack("google-protobuf", PROTOBUF)
  const version = versionOf(tensorflow)
  const compiler = process.env["CXX"] ?? "g++"
  const folder = join(TENSORFLOW_FOLDER, "build")
  const binding = buildBinding({ source, tensorflow, version, folder, compiler, say })
  writeRecord(TENSORFLOW_RECORD, { binding, package: source, version } satisfies TensorflowBinding)
  say(`TensorFlow ${version} is ready (${tensorflow})`)
} catch (cause) {
  const failure = cause instanceof SetupFailure ? cause : systemRefusal(cause, TENSORFLOW_FOLDER)
  if (failure === undefined) throw cause
  say(failure.message)
  process.exitCode = 1
}
