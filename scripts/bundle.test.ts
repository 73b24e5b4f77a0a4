import { spawnSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { makeBundle } from "./bundle/make-bundle.ts"

const root = join(import.meta.dirname, "..")
const { version } = JSON.parse(readFileSync(join(root, "packages/cli/package.json"), "utf8")) as { version: string }
const goldenModel = join(root, "../shared/golden/models/llama")

describe.skipIf(process.platform !== "linux" || process.arch !== "x64")("a bundle that was moved", () => {
  let place: string
  let folder: string

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), "plumbline-bundle-test-"))
    const made = join(place, "made")
    // gzip at its fastest: the size is what npm run bundle reports
    await makeBundle(root, made, { suffix: "gz", level: 1 })
    folder = join(place, "moved here")
    renameSync(made, folder)
  })
  afterAll(() => rmSync(place, { recursive: true, force: true }))

  /** Runs it where there is no Node and nothing of this process's environment. */
  const run = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) => {
    const env = { PATH: "/usr/bin:/bin", HOME: place, ...environment }
    const { status, stderr, stdout } = spawnSync("/bin/sh", [join(folder, "run.sh"), ...args], {
      cwd: place,
      env,
      encoding: "utf8"
    })
    return { status, stderr, stdout }
  }

  it("unpacks Node and itself once, below the home folder", () => {
    expect(run(["--version"])).toEqual({ status: 0, stderr: "", stdout: `${version}\n` })
    const cache = join(place, ".cache/plumbline")
    expect(readdirSync(cache).map((name) => name.replace(/-.*/, ""))).toEqual(["app", "node", "torch"])
    const app = readdirSync(cache).find((name) => name.startsWith("app"))!
    // programs of threads are files of their own
    expect(existsSync(join(cache, app, "tokenizer-worker.js"))).toBe(true)
    expect(run(["--version"]).stdout).toBe(`${version}\n`)
    expect(readdirSync(cache)).toHaveLength(3)
  })

  it("runs by a link, and where a process of its number was killed while it unpacked", () => {
    const link = join(place, "plumb")
    symlinkSync(join(folder, "run.sh"), link)
    const cache = join(place, "another cache")
    // exec keeps the number of the shell that leaves the part behind
    const leave = 'for part in node app; do mkdir -p "$0/plumbline/part-$$-$part/.torch"; done; exec sh "$1" --version'
    const env = { PATH: "/usr/bin:/bin", HOME: place, XDG_CACHE_HOME: cache }
    const { status, stderr, stdout } = spawnSync("/bin/sh", ["-c", leave, cache, link], { env, encoding: "utf8" })
    expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: "", stdout: `${version}\n` })
    expect(readdirSync(join(cache, "plumbline"))).toHaveLength(3)
  })

  it("says that it is not whole", () => {
    const half = join(place, "half")
    mkdirSync(half)
    copyFileSync(join(folder, "run.sh"), join(half, "run.sh"))
    const env = { PATH: "/usr/bin:/bin", HOME: place }
    const { status, stderr } = spawnSync("/bin/sh", [join(half, "run.sh"), "--version"], { env, encoding: "utf8" })
    expect([status, stderr]).toEqual([1, `run.sh: ${half} should hold one node-*; copy the whole bundle there anew\n`])
    for (const name of ["node-v24.gz", "app-0.tar.gz"]) writeFileSync(join(half, name), "cut")
    const unpacking = spawnSync("/bin/sh", [join(half, "run.sh"), "--version"], {
      env: { ...env, XDG_CACHE_HOME: half },
      encoding: "utf8"
    })
    expect(unpacking.status).toBe(1)
    expect(unpacking.stderr).toContain(`run.sh: cannot unpack ${half}/node-v24.gz into ${half}/plumbline\n`)
    expect(readdirSync(join(half, "plumbline"))).toEqual([])
  })

  it("takes no folder named torch for Python's, and names its own set-up", () => {
    const bin = join(place, "bin")
    for (const made of [bin, join(place, "torch")]) mkdirSync(made)
    // -S: whatever is installed there, it is a Python without torch
    writeFileSync(join(bin, "python3"), '#!/bin/sh\nPATH=/usr/bin:/bin exec python3 -S "$@"\n', { mode: 0o755 })
    const { status, stderr } = run(["score", "--model", "none", "--text", "a", "--backend", "torch"], {
      PATH: `${bin}:/usr/bin:/bin`
    })
    rmSync(join(place, "torch"), { recursive: true })
    expect([status, stderr]).toEqual([
      1,
      "error: backend torch cannot be used here: the torch addon is not built; run: sh run.sh setup\nhint: --backend wasm on --device cpu needs nothing but npm ci\n"
    ])
  })

  it("trains on WebAssembly", () => {
    const small = ["--batch", "1", "--length", "8", "--steps", "1", "--warmup", "1", "--backend", "wasm", "--json"]
    const { status, stderr, stdout } = run(["bench", "train", ...small])
    expect([status, stderr]).toEqual([0, ""])
    expect(JSON.parse(stdout)).toMatchObject({ shape: "llama-tiny", backend: "wasm", tokens_per_step: 8 })
  })

  it("says why the addon cannot be built, and computes without it", () => {
    const libtorch = join(place, "no-libtorch")
    mkdirSync(libtorch)
    const first = run(["bench", "train", "--nothing"], { LIBTORCH: libtorch })
    expect(first.stderr).toContain(`not-a-libtorch: ${libtorch} is no libtorch`)
    expect(first.stderr).toContain("unknown option --nothing")
    const second = run(["bench", "train", "--nothing"], { LIBTORCH: libtorch })
    expect(second.stderr).toContain("could not be built")
    expect(second.stderr).not.toContain("not-a-libtorch")
    expect(run(["setup"], { LIBTORCH: libtorch })).toMatchObject({ status: 1 })
  })

  it("tries again where the build was killed", () => {
    const libtorch = join(place, "pretended-libtorch")
    const version = ["MAJOR 2", "MINOR 13", "PATCH 0"].map((part) => `#define TORCH_VERSION_${part}\n`).join("")
    const files = {
      "include/ATen/ATen.h": "",
      "include/torch/version.h": version,
      "lib/libtorch_cpu.so": "",
      "lib/libc10.so": ""
    }
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(libtorch, name)), { recursive: true })
      writeFileSync(join(libtorch, name), text)
    }
    const compiler = join(place, "killing-compiler")
    writeFileSync(compiler, '#!/bin/sh\n[ "$1" = --version ] || kill -9 $PPID\n', { mode: 0o755 })
    for (const round of ["first", "second"]) {
      const { stderr } = run(["bench", "train", "--nothing"], { LIBTORCH: libtorch, CXX: compiler })
      expect(stderr, round).toContain("compiling the addon")
      expect(stderr, round).toContain("unknown option --nothing")
    }
  })

  it("refuses recipes, which import packages", () => {
    const { status, stderr } = run(["run", "recipe.ts"])
    expect(status).toBe(2)
    expect(stderr).toContain("run it from the repository")
  })

  it("finds another cache folder where the home folder cannot be written", () => {
    const home = join(place, "a-file")
    writeFileSync(home, "")
    expect(run(["--version"], { HOME: home, TMPDIR: place })).toEqual({ status: 0, stderr: "", stdout: `${version}\n` })
    expect(readdirSync(place).some((name) => name.startsWith("plumbline-"))).toBe(true)
  })

  describe.skipIf(!existsSync(goldenModel))("with a model", () => {
    it("scores", () => {
      const { status, stderr, stdout } = run(["score", "--model", goldenModel, "--text", "hello", "--backend", "wasm"])
      expect([status, stderr]).toEqual([0, ""])
      expect(stdout).toMatch(/^sum -\d+\.\d{4} nats over \d+ tokens/m)
    })

    it("asks services", () => {
      writeFileSync(join(place, "prompts.jsonl"), `${JSON.stringify({ prompt: "one two" })}\n`)
      const files = [
        "--model",
        goldenModel,
        "--train",
        "prompts.jsonl",
        "--output",
        "asked",
        "--batch-size",
        "1",
        "--backend",
        "wasm"
      ]
      const { status, stderr } = run(["grpo", ...files, "--reward-model", "http://127.0.0.1:9"])
      expect(stderr).toContain("http://127.0.0.1:9/v1/rewards cannot be used: no connection")
      expect(status).toBe(1)
    })

    it("trains, and keeps the run in SQLite", () => {
      writeFileSync(join(place, "train.jsonl"), `${JSON.stringify({ prompt: "one two", completion: " three" })}\n`)
      const model = ["--model", goldenModel, "--train", "train.jsonl", "--output", "out"]
      const options = ["--max-steps", "1", "--batch-size", "1", "--backend", "wasm"]
      expect(run(["sft", ...model, ...options])).toMatchObject({ status: 0 })
      expect(run(["runs", "--store", "plumbline.db"]).stdout).toContain("out")
    })
  })
})
