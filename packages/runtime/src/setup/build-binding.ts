import { loadedFrom, writable } from "@plumbline/tfjs-backend-torch/setup"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { LIBRARIES } from "./find-tensorflow.ts"
import { run, SetupFailure } from "./setup-failure.ts"

export interface BindingOptions {
  /** Folder of the @tensorflow/tfjs-node package. */
  readonly source: string
  /** Folder with headers and libraries, and their release. */
  readonly tensorflow: string
  readonly version: string
  /** Finished bindings go into a folder of their own under this one. */
  readonly folder: string
  readonly compiler: string
  readonly say: (line: string) => void
}

/** Compiles tfjs-node's binding, unless that was done against this TensorFlow before. */
export const buildBinding = ({ compiler, folder, say, source, tensorflow, version }: BindingOptions): string => {
  const headers = createRequire(import.meta.url)("node-api-headers").include_dir as string
  const includes = [source, headers, join(tensorflow, "include")].map((include) => `-I${include}`)
  const files = ["tfjs_backend.cc", "tfjs_binding.cc"].map((file) => join(source, "binding", file))
  const libraries = [`-L${tensorflow}`, ...LIBRARIES.map((name) => `-l:${name}`), ...loadedFrom(tensorflow)]
  const flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8", ...includes, ...files, ...libraries]
  const key = createHash("sha256")
    .update([version, process.versions.modules, ...flags].join("\0"))
    .digest("hex")
  const target = join(folder, key.slice(0, 12), "tfjs_binding.node")
  if (existsSync(target)) return target
  if (spawnSync(compiler, ["--version"]).status !== 0) {
    throw new SetupFailure(`no C++ compiler: ${compiler} does not run; install g++, or set CXX`)
  }
  const unfinished = `${writable(dirname(target))}/${process.pid}.node`
  say(`compiling the binding against ${tensorflow}`)
  try {
    run(compiler, [...flags, "-o", unfinished], "compiling the binding")
    const open = `process.dlopen({ exports: {} }, ${JSON.stringify(unfinished)}, require("node:os").constants.dlopen.RTLD_NOW)`
    run(process.execPath, ["-e", open], `the binding does not load with the libraries in ${tensorflow}`)
    renameSync(unfinished, target)
  } finally {
    rmSync(unfinished, { force: true })
  }
  return target
}
