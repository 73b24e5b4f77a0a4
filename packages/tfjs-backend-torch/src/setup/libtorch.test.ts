import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { buildAddon } from "./build.ts"
import { type Environment, findLibtorch } from "./libtorch.ts"
import { SetupFailure, type SetupFailureKind } from "./setup-failure.ts"

describe("setup:torch", () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "libtorch-"))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const place = (path: string, text = "") => {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }

  /** A folder that looks like a libtorch of this version. */
  const pretend = (version: string) => {
    for (const path of ["include/ATen/ATen.h", "lib/libtorch_cpu.so", "lib/libc10.so"]) place(path)
    const lines = version
      .split(".")
      .map((number, i) => `#define TORCH_VERSION_${["MAJOR", "MINOR", "PATCH"][i]} ${number}`)
    place("include/torch/version.h", lines.join("\n"))
  }

  const find = (environment: Environment) => findLibtorch(join(folder, "installed"), environment, () => undefined)

  const failure = (body: () => unknown): { readonly kind: SetupFailureKind; readonly message: string } => {
    try {
      body()
    } catch (cause) {
      if (cause instanceof SetupFailure) return cause
      throw cause
    }
    throw new Error("nothing was thrown")
  }

  it("takes the folder that LIBTORCH names", () => {
    pretend("2.11.0")
    expect(find({ LIBTORCH: folder })).toEqual({ root: folder, version: "2.11.0", hasCuda: false, cudaHeaders: [] })
  })

  it("takes LIBTORCH from any folder, and an empty one for none", () => {
    pretend("2.11.0")
    expect(find({ LIBTORCH: relative(process.cwd(), folder) }).root).toBe(folder)
    expect(failure(() => find({ LIBTORCH: "", PATH: "" })).kind).toBe("no-python")
  })

  it("installs anew where an installation of its own was broken off", () => {
    place("installed/torch/include/ATen/ATen.h")
    expect(failure(() => find({ PATH: "" })).kind).toBe("no-python")
  })

  it("finds the CUDA toolkit's headers, of CUDA_HOME or of wheels beside torch", () => {
    pretend("2.11.0")
    place("lib/libtorch_cuda.so")
    place("toolkit/include/cuda_runtime_api.h")
    expect(find({ LIBTORCH: folder, CUDA_HOME: join(folder, "toolkit") })).toMatchObject({
      hasCuda: true,
      cudaHeaders: [join(folder, "toolkit/include")]
    })
  })

  it("refuses a folder that is no libtorch, and says what it lacks", () => {
    expect(failure(() => find({ LIBTORCH: folder }))).toMatchObject({
      kind: "not-a-libtorch",
      message: `${folder} is no libtorch: it lacks include/ATen/ATen.h. Set LIBTORCH to a folder with lib/ and include/, as a Python's site-packages/torch is`
    })
  })

  it("refuses a path with a colon, where the loader would see two", () => {
    for (const path of ["include/ATen/ATen.h", "lib/libtorch_cpu.so", "lib/libc10.so"]) place(`a:b/${path}`)
    expect(failure(() => find({ LIBTORCH: join(folder, "a:b") })).message).toContain(
      "a:b cannot be linked to, as there is a colon in its path"
    )
  })

  it("refuses a torch that is too old, 2.10 not among them", () => {
    pretend("2.6.0")
    expect(failure(() => find({ LIBTORCH: folder }))).toMatchObject({
      kind: "torch-too-old",
      message: `torch 2.6.0 in ${folder} is too old: 2.7 or later is needed. Upgrade it, or set LIBTORCH to another`
    })
    pretend("2.10.0")
    expect(find({ LIBTORCH: folder }).version).toBe("2.10.0")
  })

  it("refuses headers of another version than the library", () => {
    pretend("2.11.0")
    place("version.py", "__version__ = '2.10.1+cpu'")
    const { kind, message } = failure(() => find({ LIBTORCH: folder }))
    expect([kind, message]).toEqual([
      "header-mismatch",
      `${folder} holds headers of torch 2.11.0 but the library of torch 2.10.1. Install it anew, or set LIBTORCH to another`
    ])
  })

  it("asks for LIBTORCH where there is no Python", () => {
    expect(failure(() => find({ PATH: folder })).kind).toBe("no-python")
  })

  it.skipIf(spawnSync("python3", ["-c", ""]).status !== 0)("takes no folder named torch for Python's", () => {
    const path = join(folder, "bin")
    mkdirSync(path)
    mkdirSync(join(folder, "project/torch"), { recursive: true })
    // -S: whatever is installed there, it is a Python without torch
    const python = `#!/bin/sh\ncase "$*" in *pip*) exit 1;; esac\ncd '${folder}/project' && PATH=$OLDPATH exec python3 -S "$@"\n`
    writeFileSync(join(path, "python3"), python.replace("$OLDPATH", `'${process.env["PATH"]}'`), { mode: 0o755 })
    expect(failure(() => find({ PATH: `${path}:/usr/bin:/bin` })).kind).toBe("pip-refused")
  })

  it("passes on what pip says when it refuses", () => {
    const path = join(folder, "bin")
    mkdirSync(path)
    const python = '#!/bin/sh\ncase "$*" in *pip*) echo "ERROR: no network" >&2; exit 1;; esac\n'
    writeFileSync(join(path, "python3"), python, { mode: 0o755 })
    expect(failure(() => find({ PATH: path }))).toMatchObject({
      kind: "pip-refused",
      message:
        "pip could not install torch 2.13.0: ERROR: no network. Set LIBTORCH to a folder with lib/ and include/, or install torch 2.7 or later into the active Python"
    })
  })

  it("leaves room on a screen for what else it says", () => {
    const path = join(folder, "bin")
    mkdirSync(path)
    // as where pip finds no room for each of 10,000 files
    const python = `#!/bin/sh\ncase "$*" in *pip*) echo "${"no space left; ".repeat(1000)}" >&2; exit 1;; esac\n`
    writeFileSync(join(path, "python3"), python, { mode: 0o755 })
    const { message } = failure(() => find({ PATH: path }))
    expect(message).toMatch(/: no space left; .*….*Set LIBTORCH/)
    expect(message.length).toBeLessThan(600)
  })

  it("says which compiler does not run, and what a compiler that fails said first", () => {
    pretend("2.11.0")
    place("sources/addon.cc", "int main() { return missing; }")
    const options = {
      libtorch: find({ LIBTORCH: folder }),
      sources: join(folder, "sources"),
      folder,
      say: () => undefined
    }
    expect(failure(() => buildAddon({ ...options, compiler: "no-such-compiler" })).kind).toBe("no-compiler")
    writeFileSync(
      join(folder, "cxx"),
      '#!/bin/sh\ncase "$*" in --version) exit 0;; esac\necho "a.cc:1: error: missing" >&2; exit 1\n',
      { mode: 0o755 }
    )
    const { kind, message } = failure(() => buildAddon({ ...options, compiler: join(folder, "cxx") }))
    expect([kind, message.split("\n").at(-1)]).toEqual(["compile-failed", "a.cc:1: error: missing"])
    writeFileSync(
      join(folder, "cxx"),
      '#!/bin/sh\ncase "$*" in --version) exit 0;; esac\necho "out of memory" >&2; exit 1\n'
    )
    const { message: other } = failure(() => buildAddon({ ...options, compiler: join(folder, "cxx") }))
    expect(other.split("\n").at(-1)).toBe("out of memory")
  })
})
