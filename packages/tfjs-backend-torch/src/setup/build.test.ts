import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { ADDON_RECORD } from "../addon.ts"
import { buildAddon } from "./build.ts"
import type { SetupFailure } from "./setup-failure.ts"

const compiles = process.platform === "linux" && spawnSync("g++", ["--version"]).status === 0

/** An addon that says of itself what ours does, and calls a function of a library when it is asked to. */
const addon = (torchVersion: string, libraryVersion: string, symbol = "c10_here") => `
  #include <node_api.h>
  extern "C" void ${symbol}();
  static napi_value call(napi_env, napi_callback_info) { ${symbol}(); return nullptr; }
  static void say(napi_env env, napi_value exports, const char* name, const char* text) {
    napi_value value;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    napi_set_named_property(env, exports, name, value);
  }
  NAPI_MODULE_INIT() {
    say(env, exports, "torchVersion", "${torchVersion}");
    say(env, exports, "libraryVersion", "${libraryVersion}");
    napi_value f;
    napi_create_function(env, "call", NAPI_AUTO_LENGTH, call, nullptr, &f);
    napi_set_named_property(env, exports, "call", f);
    return exports;
  }`

describe.skipIf(!compiles)("building the addon", () => {
  let root: string
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "torch, build-"))
    mkdirSync(join(root, "lib"))
    writeFileSync(join(root, "c10.cc"), 'extern "C" void c10_here() {}')
    for (const name of ["torch_cpu", "c10"]) {
      spawnSync("g++", ["-shared", "-fPIC", join(root, "c10.cc"), "-o", join(root, "lib", `lib${name}.so`)])
    }
  })
  afterAll(() => rmSync(root, { recursive: true }))

  const build = (name: string, source: string) => {
    const sources = join(root, name)
    mkdirSync(sources, { recursive: true })
    writeFileSync(join(sources, "addon.cc"), source)
    const said: Array<string> = []
    const libtorch = { root, version: "2.13.0", hasCuda: false, cudaHeaders: [] }
    const folder = join(root, `${name}-built`)
    const path = buildAddon({ libtorch, sources, folder, compiler: "g++", say: (line) => said.push(line) })
    return { path, said }
  }

  const refusal = (name: string, source: string, kind = "header-mismatch"): string => {
    try {
      build(name, source)
    } catch (cause) {
      expect(cause).toMatchObject({ name: "SetupFailure", kind })
      const left = readdirSync(join(root, `${name}-built`), { recursive: true, withFileTypes: true })
      expect(left.filter((entry) => entry.isFile())).toEqual([])
      return (cause as SetupFailure).message
    }
    throw new Error("it was built")
  }

  it("compiles once for the same sources and torch", () => {
    const { path, said } = build("good", addon("2.13.0", "2.13.0"))
    expect(said).toEqual([`compiling the addon against torch 2.13.0 in ${root}`])
    expect(build("good", addon("2.13.0", "2.13.0"))).toEqual({ path, said: [] })
    expect(build("good", addon("2.13.0", "")).path).not.toBe(path)
  })

  it("finds its libraries whatever LD_LIBRARY_PATH names", () => {
    const other = join(root, "other")
    mkdirSync(other)
    writeFileSync(join(other, "libc10.so"), "another torch's")
    vi.stubEnv("LD_LIBRARY_PATH", other)
    try {
      expect(build("elsewhere", addon("2.13.0", "2.13.0", "c10_here")).said).toHaveLength(1)
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it("refuses headers of another release than the library, and leaves nothing", () => {
    expect(refusal("mixed", addon("2.12.0", "2.13.0"))).toBe(
      `the headers in ${root}/include are not those of the libraries in ${root}/lib: they are of torch 2.12.0 and 2.13.0. Install that torch anew, or set LIBTORCH to another`
    )
  })

  it("refuses a library that lacks what the headers declare, before anything calls it", () => {
    expect(refusal("missing", addon("2.13.0", "2.13.0", "c10_gone"))).toMatch(/undefined symbol: c10_gone\. Install/)
  })

  it("says what a library needs that is not there, and does not blame the headers", () => {
    const [gone, needing] = [join(root, "libgone.so"), join(root, "lib/libc10.so")]
    const shared = ["-shared", "-fPIC", join(root, "c10.cc")]
    spawnSync("g++", [...shared, "-o", gone])
    spawnSync("g++", [...shared, "-o", needing, "-Xlinker", "--no-as-needed", gone])
    rmSync(gone)
    expect(refusal("needing", addon("2.13.0", "2.13.0"), "does-not-load")).toMatch(
      /^the addon does not load with the libraries in .*: Error: .*libgone\.so: cannot open shared object file/
    )
  })
})

describe.skipIf(process.platform !== "linux")("npm run setup:torch", () => {
  it("says in one line why it cannot, and leaves what was set up", () => {
    const record = () => {
      try {
        return readFileSync(ADDON_RECORD, "utf8")
      } catch {
        return undefined
      }
    }
    const before = record()
    const command = join(import.meta.dirname, "setup-torch.ts")
    const env = { ...process.env, LIBTORCH: "/nowhere" }
    const { status, stderr, stdout } = spawnSync(process.execPath, [command], { env, encoding: "utf8" })
    expect([status, stdout, stderr]).toEqual([
      1,
      "",
      "setup:torch: not-a-libtorch: /nowhere is no libtorch: it lacks include/ATen/ATen.h. Set LIBTORCH to a folder with lib/ and include/, as a Python's site-packages/torch is\n"
    ])
    expect(record()).toBe(before)
  })
})
