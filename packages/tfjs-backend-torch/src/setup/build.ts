import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { digestOfSources } from "../native-sources.ts"
import type { Libtorch } from "./libtorch.ts"
import { loadedFrom } from "./linked-folder.ts"
import { writable } from "./own-folder.ts"
import { SetupFailure, shortened } from "./setup-failure.ts"

/** Version of Node-API the addon is compiled for. */
const NODE_API = 9

export interface BuildOptions {
  readonly libtorch: Libtorch
  /** Folder with addon.cc. */
  readonly sources: string
  /** Finished addons go into a folder of their own under this one. */
  readonly folder: string
  readonly compiler: string
  readonly say: (line: string) => void
}

/** Compiles the addon, unless the same sources were compiled against the same torch for the same Node before. */
export const buildAddon = (options: BuildOptions): string => {
  const { compiler, folder, libtorch, say, sources } = options
  const flags = compilerFlags(libtorch, digestOfSources(sources)!)
  const linking = linkerFlags(libtorch)
  const target = join(folder, keyOf(libtorch, [...flags, ...linking]), "torch.node")
  if (existsSync(target)) return target
  if (spawnSync(compiler, ["--version"]).status !== 0) {
    throw new SetupFailure(
      "no-compiler",
      `no C++ compiler: ${compiler} does not run; install g++ 11 or later, or set CXX`
    )
  }
  writable(dirname(target))
  const unfinished = `${target}.${process.pid}`
  say(`compiling the addon against torch ${libtorch.version} in ${libtorch.root}`)
  const object = `${unfinished}.o`
  try {
    run(compiler, [...flags, "-c", join(sources, "addon.cc"), "-o", object])
    run(compiler, ["-shared", object, "-o", unfinished, ...linking])
    check(unfinished, libtorch)
    renameSync(unfinished, target)
  } finally {
    for (const file of [unfinished, object]) rmSync(file, { force: true })
  }
  return target
}

const run = (compiler: string, args: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync(compiler, args, { encoding: "utf8" })
  if (status !== 0) throw new SetupFailure("compile-failed", `${compiler} failed:\n${firstErrors(stderr)}`)
}

const firstErrors = (output: string): string => {
  const lines = output.trim().split("\n")
  const errors = lines.filter((line) => /error|undefined|cannot|failed/i.test(line))
  return (errors.length > 0 ? errors : lines).slice(0, 5).map(shortened).join("\n")
}

/**
 * Headers of another torch than the library's compile, but the addon then misses symbols, or finds ones that mean something
 * else: it is loaded with all its symbols in another process, and says there which torch it is of and which one it found.
 */
const check = (addon: string, { root }: Libtorch): void => {
  const script = `const addon = { exports: {} }
    process.dlopen(addon, ${JSON.stringify(addon)}, require("node:os").constants.dlopen.RTLD_NOW)
    console.log(JSON.stringify(addon.exports))`
  const { signal, status, stderr, stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" })
  const mismatch = (reason: string) =>
    new SetupFailure(
      "header-mismatch",
      `the headers in ${root}/include are not those of the libraries in ${root}/lib: ${reason}. Install that torch anew, or set LIBTORCH to another`
    )
  if (status !== 0) {
    const reason = stderr.split("\n").find((line) => line.startsWith("Error:")) ?? `exit by ${signal ?? status}`
    if (signal !== null || /undefined symbol/.test(reason)) throw mismatch(reason)
    throw new SetupFailure(
      "does-not-load",
      `the addon does not load with the libraries in ${root}/lib: ${reason}. Install that torch anew, or set LIBTORCH to another`
    )
  }
  const { libraryVersion, torchVersion } = JSON.parse(stdout) as Record<string, string>
  if (libraryVersion !== "" && libraryVersion !== torchVersion) {
    throw mismatch(`they are of torch ${torchVersion} and ${libraryVersion}`)
  }
}

const keyOf = ({ version, root }: Libtorch, flags: ReadonlyArray<string>): string => {
  const hash = createHash("sha256").update(root).update(flags.join("\0"))
  return `torch-${version}-node-${process.versions.modules}-${process.arch}-${hash.digest("hex").slice(0, 12)}`
}

const require = createRequire(import.meta.url)
const folderOf = (name: string) => dirname(require.resolve(`${name}/package.json`))

const hasOpenMp = (root: string): boolean => {
  const config = join(root, "include/ATen/Config.h")
  return existsSync(config) && /AT_PARALLEL_OPENMP 1/.test(readFileSync(config, "utf8"))
}

const compilerFlags = ({ cudaHeaders, root }: Libtorch, sources: string): ReadonlyArray<string> => [
  "-std=c++20",
  "-O2",
  "-fPIC",
  // compiled for OpenMP but linked without it: libtorch brings its own, and two of them would be two pools of threads
  ...(hasOpenMp(root) ? ["-fopenmp"] : []),
  "-fvisibility=hidden",
  "-w",
  `-DNAPI_VERSION=${NODE_API}`,
  `-DPLUMBLINE_SOURCES="${sources}"`,
  "-DNODE_ADDON_API_CPP_EXCEPTIONS",
  ...(cudaHeaders.length > 0 ? ["-DPLUMBLINE_CUDA"] : []),
  ...[
    join(root, "include"),
    join(root, "include/torch/csrc/api/include"),
    folderOf("node-addon-api"),
    join(folderOf("node-api-headers"), "include"),
    ...cudaHeaders
  ].flatMap((folder) => ["-isystem", folder])
]

const linkerFlags = ({ cudaHeaders, root }: Libtorch): ReadonlyArray<string> => [
  `-L${join(root, "lib")}`,
  "-Wl,--no-as-needed",
  ...(cudaHeaders.length > 0 ? ["-ltorch_cuda", "-lc10_cuda"] : []),
  "-ltorch_cpu",
  "-lc10",
  ...loadedFrom(join(root, "lib"))
]
