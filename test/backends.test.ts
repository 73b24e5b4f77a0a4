import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { golden, hasGolden, torchIsSetUp } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-backends-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const model = join(golden, "models", "llama")
const score = ["score", "--model", model, "--text", "Natalia"]
const dpo = (output: string, steps: number) => {
  const files = ["--model", model, "--train", join(golden, "preferences.jsonl"), "--output", output]
  return ["dpo", ...files, "--batch-size", "2", "--max-length", "64", "--max-steps", String(steps)]
}

const recordedBackend = (output: string): unknown =>
  (JSON.parse(readFileSync(join(output, "run.json"), "utf8")) as { invocation: { options: { backend: unknown } } })
    .invocation.options.backend

/** An environment in which no torch is set up. */
const nowhere = () => ({ PLUMBLINE_TORCH_ADDON: join(folder, "nowhere.node") })

describe.skipIf(!hasGolden)("--backend auto", () => {
  it("takes wasm where there is no torch, says so and why, and records what it took", async () => {
    const output = join(folder, "without")
    const { code, stderr } = await plumb([...dpo(output, 2), "--max-seconds", "0.001"], folder, nowhere())
    expect(code, stderr).toBe(0)
    expect(stderr.match(/^backend: .*/gm)).toEqual([
      `backend: TensorFlow.js wasm (SIMD), 1 thread, float32 (torch: the torch addon ${folder}/nowhere.node is not there; run: npm run setup:torch)`
    ])
    expect(recordedBackend(output)).toBe("wasm")
    // here there may be a torch: the run goes on with what it was started on
    const resumed = await plumb(["resume", output], folder)
    expect([resumed.code, resumed.stderr.match(/libtorch|^backend:/m)]).toEqual([0, null])
    expect(recordedBackend(output)).toBe("wasm")
  })

  it.skipIf(!torchIsSetUp)("takes torch where it is set up, says so and records it", async () => {
    const output = join(folder, "with")
    const { code, stderr } = await plumb(dpo(output, 1), folder)
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/^backend: libtorch 2\.\d+\.\d+ on the CPU, \d+ threads?, float32$/m)
    expect(recordedBackend(output)).toBe("torch")
  })

  it("does not fall back on a backend that cannot do what is asked", async () => {
    const { code, stderr, stdout } = await plumb([...score, "--precision", "bfloat16"], folder, nowhere())
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toContain("error: backend torch cannot be used here: the torch addon")
  })
})

describe.skipIf(!hasGolden)("--backend torch", () => {
  const refusal = async (flags: ReadonlyArray<string>, environment = {}): Promise<string> => {
    const { code, stderr, stdout } = await plumb([...score, ...flags], folder, environment)
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr.split("\n").length).toBeLessThan(5)
    expect(stderr).not.toContain("bug in Plumbline")
    return stderr
  }

  it("says what is wrong with an addon, and leaves no run behind", async () => {
    const broken = join(folder, "broken.node")
    writeFileSync(broken, "not a library")
    const environment = { PLUMBLINE_TORCH_ADDON: broken }
    expect(await refusal(["--backend", "torch"], environment)).toContain("the torch addon does not load (")
    const output = join(folder, "none")
    const run = await plumb([...dpo(output, 1), "--backend", "torch"], folder, environment)
    expect([run.code, existsSync(output)]).toEqual([1, false])
  })

  it.skipIf(!torchIsSetUp || existsSync("/dev/nvidia0"))("says that there is no CUDA, with auto too", async () => {
    for (const backend of ["torch", "auto"]) {
      expect(await refusal(["--backend", backend, "--device", "cuda"])).toMatch(
        /^error: backend torch cannot be used here: (the torch addon was built for the CPU only \(.*\); with a torch that has CUDA, run: npm run setup:torch|CUDA device 0 cannot be used: .*)\nhint: --backend wasm on --device cpu needs nothing but npm ci\n$/
      )
    }
  })
})
