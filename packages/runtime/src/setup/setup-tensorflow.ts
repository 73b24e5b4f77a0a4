import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { TENSORFLOW_FOLDER, TENSORFLOW_RECORD, type TensorflowBinding } from "../backends/tensorflow.ts"

// npm run setup:tensorflow – compiles tfjs-node's binding against the C library of a pip TensorFlow. LIBTENSORFLOW
// (a folder with include/ and libtensorflow_cc.so.2, such as site-packages/tensorflow) and CXX are read.

const TFJS_NODE = "4.22.0"
const PROTOBUF = "3.21.4"
const TENSORFLOW = "2.21.0"

class SetupFailure extends Error {}

const say = (line: string) => process.stderr.write(`setup:tensorflow: ${line}\n`)

const run = (command: string, args: ReadonlyArray<string>, what: string, cwd?: string): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    ...(cwd === undefined ? {} : { cwd })
  })
  if (error !== undefined) throw new SetupFailure(`${what}: ${error.message}`)
  if (status !== 0) throw new SetupFailure(`${what}: ${stderr.trim().split("\n").slice(-5).join("\n")}`)
  return stdout.trim()
}

/** Folder of a TensorFlow with headers and library: LIBTENSORFLOW, the active Python's, else a new CPU build. */
const findTensorflow = (): string => {
  const named = process.env["LIBTENSORFLOW"]
  if (named !== undefined) return checked(named)
  const python = ["python3", "python"].find((name) => spawnSync(name, ["-c", ""]).status === 0)
  if (python === undefined)
    throw new SetupFailure("no TensorFlow was found and no Python to install one with: set LIBTENSORFLOW")
  const find =
    "import importlib.util as u; s = u.find_spec('tensorflow'); print(s.submodule_search_locations[0] if s else '')"
  const active = run(python, ["-c", find], "asking Python for TensorFlow")
  if (active !== "") return checked(active)
  const target = join(TENSORFLOW_FOLDER, "python")
  if (!existsSync(join(target, "tensorflow/include"))) {
    say(`no TensorFlow found; installing tensorflow-cpu ${TENSORFLOW} into ${target}`)
    const quiet = ["--quiet", "--no-deps", "--retries", "0", "--disable-pip-version-check"]
    run(python, ["-m", "pip", "install", ...quiet, "--target", target, `tensorflow-cpu==${TENSORFLOW}`], "pip install")
  }
  return checked(join(target, "tensorflow"))
}

const LIBRARIES = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]

const checked = (folder: string): string => {
  for (const part of ["include/tensorflow/c/c_api.h", ...LIBRARIES]) {
    if (!existsSync(join(folder, part)))
      throw new SetupFailure(`${folder} is no TensorFlow to build against: it lacks ${part}`)
  }
  return folder
}

const versionOf = (folder: string): string => {
  const info = readdirSync(dirname(folder)).find((name) => /^tensorflow(_\w+)?-[\d.]+.*\.dist-info$/.test(name))
  return /-([\d.]+\d)/.exec(info ?? "")?.[1] ?? "of unknown version"
}

/** The published package's sources and its one run-time dependency that tfjs does not bring; no install script runs. */
const unpack = (name: string, version: string): string => {
  const folder = join(TENSORFLOW_FOLDER, "node_modules", name)
  if (existsSync(join(folder, "package.json"))) return folder
  mkdirSync(folder, { recursive: true })
  const archive = run("npm", ["pack", "--silent", `${name}@${version}`], `npm pack ${name}`, TENSORFLOW_FOLDER)
    .split("\n")
    .at(-1)!
  run("tar", ["xzf", join(TENSORFLOW_FOLDER, archive), "--strip-components=1", "-C", folder], `unpacking ${archive}`)
  return folder
}

const compile = (source: string, tensorflow: string): string => {
  const target = join(TENSORFLOW_FOLDER, "tfjs_binding.node")
  const headers = createRequire(import.meta.url)("node-api-headers").include_dir as string
  const includes = [source, headers, join(tensorflow, "include")].map((folder) => `-I${folder}`)
  const files = ["tfjs_backend.cc", "tfjs_binding.cc"].map((file) => join(source, "binding", file))
  const libraries = [`-L${tensorflow}`, ...LIBRARIES.map((name) => `-l:${name}`), `-Wl,-rpath,${tensorflow}`]
  const flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8"]
  run(
    process.env["CXX"] ?? "g++",
    [...flags, ...includes, ...files, "-o", target, ...libraries],
    "compiling the binding"
  )
  return target
}

try {
  if (process.platform !== "linux") throw new SetupFailure(`only Linux is supported, not ${process.platform}`)
  mkdirSync(TENSORFLOW_FOLDER, { recursive: true })
  const tensorflow = findTensorflow()
  const source = unpack("@tensorflow/tfjs-node", TFJS_NODE)
  unpack("google-protobuf", PROTOBUF)
  say(`compiling the binding against ${tensorflow}`)
  const record: TensorflowBinding = {
    binding: compile(source, tensorflow),
    package: source,
    version: versionOf(tensorflow)
  }
  writeFileSync(TENSORFLOW_RECORD, `${JSON.stringify(record, null, 2)}\n`)
  say(`TensorFlow ${record.version} is ready`)
} catch (failure) {
  if (!(failure instanceof SetupFailure)) throw failure
  say(failure.message)
  process.exitCode = 1
}
