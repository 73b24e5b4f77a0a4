import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-policy-gradient-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Metrics = Readonly<Record<string, number>>

const metricsOf = (run: string): ReadonlyArray<Metrics> =>
  readFileSync(join(run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Metrics)

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

/** The recipe's stage of this algorithm, from its beginning; other parameters as they are by default. */
const learnt = async (algorithm: string, ...parameters: ReadonlyArray<string>) => {
  const output = join(folder, [algorithm, ...parameters].join(""))
  const args = [
    "run",
    "recipes/reversed-words.ts",
    "--algorithm",
    algorithm,
    ...parameters,
    "--output",
    output,
    ...WASM
  ]
  const { code, stderr, stdout } = await plumbHere(args)
  expect(code, stderr).toBe(0)
  return { metrics: metricsOf(join(output, algorithm)), stdout }
}

describe("from a model that is right in one answer of five", () => {
  // three seeds each are in the recipe's header; a test has one
  it.each(["grpo", "rloo"])("%s raises a checkable reward from below 0.3 to above 0.9", async (algorithm) => {
    const { metrics, stdout } = await learnt(algorithm)
    const rewards = metrics.map(({ reward }) => reward!)
    expect(mean(rewards.slice(0, 2))).toBeLessThan(0.3)
    expect(mean(rewards.slice(-10))).toBeGreaterThan(0.9)
    const [before, after] = /(\d+\.\d) % after SFT, (\d+\.\d) % after/.exec(stdout)!.slice(1).map(Number)
    expect(before).toBeLessThan(30)
    expect(after).toBeGreaterThan(90)
    for (const step of metrics) {
      // one step a rollout: the policy has not moved
      expect(step["ratio/mean"]).toBe(1)
      expect(step["clip_ratio/region_mean"]).toBe(0)
      // the engine and the training step agree on what was sampled
      expect(step["sampling/sampling_logp_difference/mean"]).toBeLessThan(1e-5)
      expect(step["rollout/staleness_max"]).toBe(0)
    }
  })

  it("ppo does with a critic that begins knowing nothing, two minibatches twice a rollout", async () => {
    const { metrics, stdout } = await learnt("ppo", "--steps", "160")
    const rewards = metrics.map(({ reward }) => reward!)
    expect(mean(rewards.slice(0, 4))).toBeLessThan(0.3)
    expect(mean(rewards.slice(-12))).toBeGreaterThan(0.9)
    expect(Number(/(\d+\.\d) % after ppo/.exec(stdout)![1])).toBeGreaterThan(90)
    const firsts = metrics.filter(({ step }) => step! % 4 === 1)
    for (const step of firsts) expect([step["ratio/mean"], step["clip_ratio/region_mean"]]).toEqual([1, 0])
    expect(metrics.some((step) => step["clip_ratio/region_mean"]! > 0)).toBe(true)
    const critic = metrics.flatMap((step) => step["critic/loss"] ?? [])
    expect(critic).toHaveLength(40)
    expect(critic.at(-1)).toBeLessThan(critic[3]!)
  })

  it("with advantages of the other sign no reward is left", async () => {
    const { metrics } = await learnt("grpo", "--reward-weight", "-1")
    expect(mean(metrics.slice(-10).map((step) => step["rewards/exact_answer/mean"]!))).toBeLessThan(0.05)
  })
})
