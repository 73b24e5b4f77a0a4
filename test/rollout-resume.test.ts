import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { philoxStream } from "@plumbline/runtime"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, startPlumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-rollouts-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:`, answer: String(i) }))
  writeFileSync(join(folder, "prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  const bits = Array.from({ length: 24 }, (_, i) => ({
    prompt: `Question ${i}:`,
    answer: ["00", "01", "10", "11"][i % 4]
  }))
  writeFileSync(join(folder, "bits.jsonl"), bits.map((row) => JSON.stringify(row)).join("\n"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// 4 steps a rollout, a checkpoint in the middle of every other one; a KL that moves, a critic, a warm-up
const ppo =
  "ppo --reward exact_answer --batch-size 2 --rollout-batches 2 --inner-epochs 2 --samples 2 --max-steps 24 --save-every 6 " +
  "--max-new-tokens 24 --kl-coefficient 0.1 --kl-target 1 --learning-rate 1e-3 --critic-warmup 1 --seed 7"
// responses of two of the tokens "0" and "1"; two rollouts ahead, and others for prompts whose rewards are all equal
const grpo =
  "grpo --reward exact_answer --batch-size 4 --rollout-batches 2 --samples 4 --max-steps 18 --save-every 3 " +
  "--max-new-tokens 2 --allowed-tokens 20,21 --staleness 2 --dynamic-sampling 2 --learning-rate 1e-3 --seed 7"

const args = (command: string, train: string, output: string) => [
  ...command.split(" "),
  "--model",
  join(golden, "models", "llama"),
  "--train",
  join(folder, train),
  "--output",
  output,
  ...WASM
]

/** Lines of metrics.jsonl without what the clock decides. */
const lines = (output: string): ReadonlyArray<string> => {
  const file = join(output, "metrics.jsonl")
  if (!existsSync(file)) return []
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1)
  return whole.map((line) =>
    JSON.stringify(JSON.parse(line), (key, value: unknown) =>
      key.startsWith("timers/") || key === "tokens_per_second" ? undefined : value
    )
  )
}

/** Starts the run, or resumes it, and kills it so many milliseconds after the first of these steps is there. */
const killed = async (command: ReadonlyArray<string>, output: string, step: number, after: number): Promise<void> => {
  const child = startPlumb(command)
  const closed = once(child, "close")
  while (lines(output).length < step && child.exitCode === null) await sleep(3)
  await sleep(after)
  child.kill("SIGKILL")
  await closed
}

/** Runs it to its end, and again with three deaths on the way; @returns both folders and when it died. */
const wholeAndTorn = async (name: string, command: (output: string) => ReadonlyArray<string>, steps: number) => {
  const [whole, torn] = [join(folder, `${name}-whole`), join(folder, `${name}-torn`)]
  const finished = await plumbHere(command(whole))
  expect(finished.code, finished.stderr).toBe(0)
  const random = philoxStream(Date.now(), "kill")
  const moments = [1, 2, 3].map(
    (i) => [Math.floor(random.uniform(2 * i) * steps * i), random.uniform(2 * i + 1) * 150] as const
  )
  for (const [i, [step, after]] of moments.entries()) {
    await killed(i === 0 ? command(torn) : ["resume", torn], torn, step, after)
  }
  const told = JSON.stringify(moments)
  const resumed = await plumb(existsSync(join(torn, "run.json")) ? ["resume", torn] : command(torn))
  expect(resumed.code, `${told} ${resumed.stderr}`).toBe(0)
  return { whole, torn, told }
}

const bytes = (run: string, file: string) => readFileSync(join(run, file))
const rollouts = async (run: string, start = plumbHere) => (await start(["rollouts", run, "--json"])).stdout

describe.skipIf(!hasGolden)("a run killed in the middle of rollouts and updates goes on to", () => {
  it("the same metrics, weights, critic and responses: ppo", async () => {
    const { told, torn, whole } = await wholeAndTorn("ppo", (output) => args(ppo, "prompts.jsonl", output), 7)
    expect(lines(torn), told).toEqual(lines(whole))
    for (const file of ["final/model.safetensors", "checkpoints/step-24/critic/model.safetensors"]) {
      expect(bytes(torn, file).equals(bytes(whole, file)), `${told} ${file}`).toBe(true)
    }
    expect(await rollouts(torn, plumb)).toBe(await rollouts(whole))
  })

  it("the same metrics, weights and responses: grpo ahead of itself, with dynamic sampling", async () => {
    const { told, torn, whole } = await wholeAndTorn("grpo", (output) => args(grpo, "bits.jsonl", output), 5)
    const metrics = lines(whole).map((line) => JSON.parse(line) as Readonly<Record<string, number>>)
    expect(metrics.map((step) => step["rollout/staleness_max"])).toEqual([
      0,
      0,
      2,
      2,
      ...Array.from({ length: 14 }, () => 4)
    ])
    expect(metrics.some((step) => step["rollout/thrown_away"]! > 0)).toBe(true)
    expect(lines(torn), told).toEqual(lines(whole))
    expect(bytes(torn, "final/model.safetensors").equals(bytes(whole, "final/model.safetensors")), told).toBe(true)
    const shown = await rollouts(whole)
    expect(await rollouts(torn)).toBe(shown)
    expect(shown).toContain('"masked":"no advantage"')
  })
})
