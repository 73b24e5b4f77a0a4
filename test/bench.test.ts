import { describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"

const small = ["--batch", "1", "--length", "8", "--steps", "2", "--warmup", "1", "--backend", "wasm"]

describe("plumb bench", () => {
  it("times a training step, as JSON", async () => {
    const { code, stderr, stdout } = await plumb(["bench", "train", ...small, "--json"])
    expect([code, stderr]).toEqual([0, ""])
    const result = JSON.parse(stdout) as Record<string, unknown>
    expect(result).toMatchObject({
      bench: "train",
      shape: "llama-tiny",
      backend: "wasm",
      batch: 1,
      length: 8,
      // 4 layers of 4·256² + 3·256·1024 + 2·256, 256 for the final norm, 4096·256 twice
      parameters: 6_293_760,
      tokens_per_step: 8,
      // 8 tokens of 6·(6293760 − 4096·256) + 6·4·256·8
      flops_per_step: 252_162_048,
      peak: { source: "measured" }
    })
    expect((result["step_seconds"] as { all: ReadonlyArray<number> }).all).toHaveLength(2)
    expect((result["loss"] as { first: number }).first).toBeCloseTo(Math.log(4096), 0)
    for (const rate of ["tokens_per_second", "flops_per_second", "share_of_peak"])
      expect(result[rate]).toBeGreaterThan(0)
  })

  it("times a preference step against a given peak, in words", async () => {
    const options = ["--precompute-reference", "true", "--peak-tflops", "0.5"]
    const { code, stderr, stdout } = await plumbHere(["bench", "dpo", ...small, ...options])
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toMatch(/^loss +0\.6931 → /m)
    expect(stdout).toMatch(/^peak +500\.0 GFLOP\/s \(as --peak-tflops says\)/m)
  })

  it("times GRPO steps and says what they are made of; ratios are 1 and the sampler agrees", async () => {
    const work = "--prompts 2 --samples 2 --prompt-tokens 4 --max-new-tokens 4 --repeats 1"
    const { code, stderr, stdout } = await plumbHere([
      "bench",
      "grpo",
      ...work.split(" "),
      "--backend",
      "wasm",
      "--json"
    ])
    expect([code, stderr]).toEqual([0, ""])
    const { parts, ratio, sampler_gap, step_seconds } = JSON.parse(stdout) as {
      readonly parts: Readonly<Record<string, { readonly seconds: number }>>
      readonly ratio: number
      readonly sampler_gap: number
      readonly step_seconds: { readonly median: number }
    }
    expect(Object.keys(parts)).toEqual(["generate", "score", "log-probs", "update", "other"])
    const sum = Object.values(parts).reduce((total, { seconds }) => total + seconds, 0)
    expect(sum).toBeCloseTo(step_seconds.median, 6)
    expect(ratio).toBe(1)
    expect(sampler_gap).toBeLessThan(1e-5)
  })

  it("times several adapters on one model, and a swap, as JSON", async () => {
    const work = "--adapters 2 --lora-rank 4 --batch 2 --prompt 4 --new-tokens 3 --repeats 1"
    const { code, stderr, stdout } = await plumbHere([
      "bench",
      "adapters",
      ...work.split(" "),
      "--backend",
      "wasm",
      "--json"
    ])
    expect([code, stderr]).toEqual([0, ""])
    const result = JSON.parse(stdout) as Record<string, number>
    expect(result).toMatchObject({
      bench: "adapters",
      adapters: 2,
      parameters: 6_293_760,
      // 4 layers of rank 4: 4·(256 + 256) for attention and 3·(256 + 1024) for the MLP
      adapter_parameters: 94_208
    })
    expect(result["request_seconds"]).toBeGreaterThan(0)
    expect(result["request_after_swap_seconds"]).toBeGreaterThan(0)
  })

  it("times scoring, at once and by clients of a server, as JSON", async () => {
    const work = ["--rows", "6", "--length", "8", "--repeats", "2", "--clients", "3", "--backend", "wasm"]
    const { code, stderr, stdout } = await plumbHere(["bench", "reward", ...work, "--json"])
    expect([code, stderr]).toEqual([0, ""])
    const result = JSON.parse(stdout) as Record<string, unknown>
    expect(result).toMatchObject({
      bench: "reward",
      rows: 6,
      clients: 3,
      // 4 layers of 4·256² + 3·256·1024 + 2·256, 256 for the final norm, 4096·256 for the embedding, 256 for the head
      parameters: 5_245_440,
      // 2·(4·(4·256² + 3·256·1024 + 2·256) + 256) + 2·4·256·8 of attention
      flops_per_token: 8_409_600,
      peak: { source: "measured" }
    })
    for (const rate of ["tokens_per_second", "flops_per_second", "share_of_peak"])
      expect(result[rate]).toBeGreaterThan(0)
    expect((result["served"] as { share_of_offline: number }).share_of_offline).toBeGreaterThan(0)
  })

  it.each([
    [["bench"], "what to time comes first"],
    [["bench", "trian"], 'there is no bench "trian"; did you mean train?'],
    [["bench", "train", "--precompute-reference", "true"], "unknown option --precompute-reference"],
    [["bench", "train", "--shape", "llama-tinny"], "did you mean llama-tiny?"],
    [["bench", "train", "--length", "1"], "--length"]
  ])("%j is a usage error", async (args, problem) => {
    const { code, stderr, stdout } = await plumbHere(args)
    expect([code, stdout]).toEqual([2, ""])
    expect(stderr).toContain(problem)
  })
})
