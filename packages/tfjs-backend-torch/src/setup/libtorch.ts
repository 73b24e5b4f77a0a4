import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { fillWhole } from "./own-folder.ts"
import { folderOfPackage } from "./python-package.ts"
import { SetupFailure, shortened } from "./setup-failure.ts"

/** A libtorch on this machine. */
export interface Libtorch {
  /** Folder with lib/ and include/. */
  readonly root: string
  readonly version: string
  /** Folders of the CUDA toolkit's headers; empty where the addon can only be built for the CPU. */
  readonly cudaHeaders: ReadonlyArray<string>
  /** Whether the library itself has CUDA. */
  readonly hasCuda: boolean
}

/** The oldest release the addon compiles against. */
export const OLDEST_TORCH = "2.7"

/** The release that setup installs where there is none. */
export const INSTALLED_TORCH = "2.13.0"

export interface Environment {
  readonly LIBTORCH?: string | undefined
  readonly CUDA_HOME?: string | undefined
  readonly PATH?: string | undefined
}

/**
 * The libtorch to build against: `LIBTORCH`, else the active Python's torch, else one installed into `folder`
 * (a CPU build, by pip, without its Python dependencies, which the library does not use).
 */
export const findLibtorch = (folder: string, environment: Environment, say: (line: string) => void): Libtorch => {
  // the addon looks there whatever folder it is run in
  if (environment.LIBTORCH) return describe(resolve(environment.LIBTORCH), environment)
  const python = findPython(environment)
  const active = python === undefined ? undefined : torchOf(python, environment)
  if (active !== undefined) return describe(active, environment)
  const installed = join(folder, "torch")
  const isWhole = () => missingPart(installed) === undefined
  fillWhole(folder, isWhole, (target) => install(target, folder, python, environment, say))
  return describe(installed, environment)
}

const missingPart = (root: string): string | undefined =>
  ["include/ATen/ATen.h", "lib/libtorch_cpu.so", "lib/libc10.so"].find((part) => !existsSync(join(root, part)))

const describe = (root: string, environment: Environment): Libtorch => {
  const missing = missingPart(root)
  if (missing !== undefined) {
    throw new SetupFailure(
      "not-a-libtorch",
      `${root} is no libtorch: it lacks ${missing}. Set LIBTORCH to a folder with lib/ and include/, as a Python's site-packages/torch is`
    )
  }
  if (root.includes(":")) {
    throw new SetupFailure(
      "not-a-libtorch",
      `${root} cannot be linked to, as there is a colon in its path. Set LIBTORCH to a link to it that has none`
    )
  }
  const version = headerVersion(root)
  checkVersion(root, version)
  const hasCuda = existsSync(join(root, "lib/libtorch_cuda.so"))
  return { root, version, hasCuda, cudaHeaders: hasCuda ? cudaHeaders(root, environment) : [] }
}

const headerVersion = (root: string): string => {
  for (const file of [
    "include/torch/headeronly/version.h",
    "include/torch/version.h",
    "include/torch/csrc/api/include/torch/version.h"
  ]) {
    const path = join(root, file)
    const text = existsSync(path) ? readFileSync(path, "utf8") : ""
    const parts = ["MAJOR", "MINOR", "PATCH"].map((part) => new RegExp(`TORCH_VERSION_${part} (\\d+)`).exec(text)?.[1])
    if (parts.every((part) => part !== undefined)) return parts.join(".")
  }
  throw new SetupFailure("not-a-libtorch", `the headers under ${root}/include do not say their version`)
}

const checkVersion = (root: string, version: string): void => {
  const number = (text: string) => text.split(".").reduce((sum, part, i) => sum + Number.parseInt(part) / 1000 ** i, 0)
  if (number(version) < number(OLDEST_TORCH)) {
    throw new SetupFailure(
      "torch-too-old",
      `torch ${version} in ${root} is too old: ${OLDEST_TORCH} or later is needed. Upgrade it, or set LIBTORCH to another`
    )
  }
  const library = [join(root, "version.py"), join(root, "build-version")]
    .filter((file) => existsSync(file))
    .map((file) => /\d+\.\d+\.\d+/.exec(readFileSync(file, "utf8"))?.[0])[0]
  if (library !== undefined && library !== version) {
    throw new SetupFailure(
      "header-mismatch",
      `${root} holds headers of torch ${version} but the library of torch ${library}. Install it anew, or set LIBTORCH to another`
    )
  }
}

/** The toolkit's headers, from the toolkit itself or from the wheels that a pip torch came with. */
const cudaHeaders = (root: string, { CUDA_HOME }: Environment): ReadonlyArray<string> => {
  const toolkits = [CUDA_HOME, "/usr/local/cuda"]
    .filter((path) => path !== undefined)
    .map((path) => join(path, "include"))
  const complete = toolkits.find((path) => existsSync(join(path, "cuda_runtime_api.h")))
  if (complete !== undefined) return [complete]
  const wheels = join(root, "../nvidia")
  if (!existsSync(wheels)) return []
  const folders = readdirSync(wheels).map((name) => join(wheels, name, "include"))
  const found = folders.filter((path) => existsSync(path))
  return found.some((path) => existsSync(join(path, "cuda_runtime_api.h"))) ? found : []
}

const findPython = ({ PATH }: Environment): string | undefined =>
  ["python3", "python"].find((name) => spawnSync(name, ["-c", ""], { env: { ...process.env, PATH } }).status === 0)

const torchOf = (python: string, { PATH }: Environment): string | undefined => {
  const { stdout } = spawnSync(python, ["-c", folderOfPackage("torch")], {
    encoding: "utf8",
    env: { ...process.env, PATH }
  })
  return stdout.trim() === "" ? undefined : stdout.trim()
}

/** PyTorch's index of CPU builds first; then whatever index pip is configured with. */
const INDEXES = [["--index-url", "https://download.pytorch.org/whl/cpu"], []]

const install = (
  target: string,
  folder: string,
  python: string | undefined,
  { PATH }: Environment,
  say: (line: string) => void
): void => {
  if (python === undefined) {
    throw new SetupFailure(
      "no-python",
      "no torch was found and no Python to install one with: set LIBTORCH to a folder with lib/ and include/"
    )
  }
  say(`no torch found; installing torch ${INSTALLED_TORCH} into ${folder}`)
  let refusal = ""
  for (const index of INDEXES) {
    const options = [
      "--quiet",
      "--no-deps",
      "--retries",
      "0",
      "--disable-pip-version-check",
      "--target",
      target,
      ...index
    ]
    const { status, stderr } = spawnSync(python, ["-m", "pip", "install", ...options, `torch==${INSTALLED_TORCH}`], {
      encoding: "utf8",
      env: { ...process.env, PATH }
    })
    if (status === 0) return
    refusal = shortened(stderr.trim().split("\n").at(-1) ?? "")
  }
  throw new SetupFailure(
    "pip-refused",
    `pip could not install torch ${INSTALLED_TORCH}: ${refusal}. Set LIBTORCH to a folder with lib/ and include/, or install torch ${OLDEST_TORCH} or later into the active Python`
  )
}
