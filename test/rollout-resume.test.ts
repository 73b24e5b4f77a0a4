import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { philoxStream } from "@plumbline/runtime"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, startPlumb, WASM } from "./plumb.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-rollouts-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:`, answer: String(i) }))
  writeFileSync(join(folder, "prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// 4 steps a rollout, a checkpoint in the middle of every other one; a KL that moves, a critic, a warm-up
const flags =
  "--reward exact_answer --batch-size 2 --rollout-batches 2 --inner-epochs 2 --samples 2 --max-steps 24 --save-every 6 " +
  "--max-new-tokens 24 --kl-coefficient 0.1 --kl-target 1 --learning-rate 1e-3 --critic-warmup 1 --seed 7"

const args = (output: string) => [
  "ppo",
  "--model",
  join(golden, "models", "llama"),
  "--train",
  join(folder, "prompts.jsonl"),
  "--output",
  output,
  ...flags.split(" "),
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

describe.skipIf(!hasGolden)("a PPO run killed in the middle of rollouts and updates", () => {
  it("goes on to the same metrics, weights, critic and responses", async () => {
    const [whole, torn] = [join(folder, "whole"), join(folder, "torn")]
    const finished = await plumb(args(whole))
    expect(finished.code, finished.stderr).toBe(0)
    const random = philoxStream(Date.now(), "kill")
    const moments = [1, 2, 3].map(
      (i) => [Math.floor(random.uniform(2 * i) * 7 * i), random.uniform(2 * i + 1) * 150] as const
    )
    for (const [i, [step, after]] of moments.entries()) {
      await killed(i === 0 ? args(torn) : ["resume", torn], torn, step, after)
    }
    const told = JSON.stringify(moments)
    const resumed = await plumb(existsSync(join(torn, "run.json")) ? ["resume", torn] : args(torn))
    expect(resumed.code, `${told} ${resumed.stderr}`).toBe(0)
    expect(lines(torn), told).toEqual(lines(whole))
    const bytes = (run: string, file: string) => readFileSync(join(run, file))
    for (const file of ["final/model.safetensors", "checkpoints/step-24/critic/model.safetensors"]) {
      expect(bytes(torn, file).equals(bytes(whole, file)), `${told} ${file}`).toBe(true)
    }
    const rollouts = async (run: string) => (await plumb(["rollouts", run, "--json"])).stdout
    expect(await rollouts(torn)).toBe(await rollouts(whole))
  })
})
