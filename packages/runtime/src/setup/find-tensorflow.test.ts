import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { buildBinding } from "./build-binding.ts"
import { findTensorflow, versionOf } from "./find-tensorflow.ts"

describe("setup:tensorflow", () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tensorflow-"))
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })

  const place = (path: string, text = "", mode = 0o644) => {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text, { mode })
  }

  const pretend = (root: string) => {
    for (const part of ["include/tensorflow/c/c_api.h", "libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]) {
      place(`${root}/${part}`)
    }
  }

  const find = (named: string, PATH: string) => {
    vi.stubEnv("LIBTENSORFLOW", named)
    vi.stubEnv("PATH", PATH)
    return findTensorflow(join(folder, "installed"), () => undefined)
  }

  it("takes the folder that LIBTENSORFLOW names from any folder, and an empty name for none", () => {
    pretend("tensorflow")
    place("tensorflow_cpu-2.21.0.dist-info/METADATA")
    const found = find(relative(process.cwd(), join(folder, "tensorflow/")), "")
    expect([found, versionOf(found)]).toEqual([join(folder, "tensorflow"), "2.21.0"])
    expect(() => find("", folder)).toThrow("no TensorFlow was found and no Python to install one with")
  })

  it("refuses what it cannot build against, and says what to set", () => {
    expect(() => find(folder, "")).toThrow(
      `${folder} is no TensorFlow to build against: it lacks include/tensorflow/c/c_api.h. Set LIBTENSORFLOW`
    )
    pretend("a:b")
    expect(() => find(join(folder, "a:b"), "")).toThrow("as there is a colon in its path")
  })

  it("installs anew where an installation of its own was broken off", () => {
    place("installed/tensorflow/include/tensorflow/c/c_api.h")
    place("bin/python3", `#!/bin/sh\ncase "$*" in *pip*) echo "no network" >&2; exit 1;; esac\n`, 0o755)
    expect(() => find("", join(folder, "bin"))).toThrow(/pip could not install tensorflow-cpu [\d.]+: no network$/)
  })

  it("leaves nothing of a binding that does not compile or load", () => {
    const options = {
      source: folder,
      tensorflow: folder,
      version: "2.21.0",
      folder: join(folder, "build"),
      say: () => undefined
    }
    const build = (compiler: string) => () => buildBinding({ ...options, compiler })
    expect(build("no-such-compiler")).toThrow("no C++ compiler: no-such-compiler does not run")
    expect(existsSync(options.folder)).toBe(false)
    // writes what is no library to its last file
    const compiler = `#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = -o ] && echo none >"$2"; shift; done\n`
    place("cxx", compiler, 0o755)
    expect(build(join(folder, "cxx"))).toThrow(/the binding does not load with the libraries in .*/)
    expect(build(join(folder, "cxx"))).toThrow(/the binding does not load with the libraries in .*/)
  })
})
