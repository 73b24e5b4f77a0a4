import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-each-reward-"))
  // responses are two of the tokens "0", "1", "," and " ": "1," is right as a number alone
  const rows = ["1", "0", "1", "0"].map((answer, i) => ({ prompt: `Question ${i}:`, answer }))
  writeFileSync(join(folder, "bits.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Shown {
  readonly prompt_number: number
  readonly advantage: number
  readonly reward_parts: ReadonlyArray<{ readonly value: number; readonly weight: number }>
}

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
/** (x − mean)/(std + 10⁻⁴), std with n − 1. */
const normalized = (values: ReadonlyArray<number>) => {
  const [middle, n] = [mean(values), values.length]
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (n - 1))
  return values.map((value) => (value - middle) / (spread + 1e-4))
}

describe.skipIf(!hasGolden)("plumb grpo --normalize-each-reward", () => {
  it("normalizes each reward in its group, and their weighted sum over the rollout", async () => {
    const output = join(folder, "run")
    const files = [
      "--model",
      join(golden, "models", "llama"),
      "--train",
      join(folder, "bits.jsonl"),
      "--output",
      output
    ]
    const flags =
      "--reward numeric_answer,exact_answer --reward-weights 0.5,2 --normalize-each-reward true --batch-size 4 --samples 8 " +
      "--max-new-tokens 2 --allowed-tokens 20,21,16,225 --max-steps 1 --seed 3"
    const { code, stderr } = await plumbHere(["grpo", ...files, ...flags.split(" "), ...WASM])
    expect(code, stderr).toBe(0)
    const { stdout } = await plumb(["rollouts", output, "--json"])
    const rows = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Shown)
    expect(rows).toHaveLength(32)
    const sums = rows.map(() => 0)
    for (const part of [0, 1]) {
      for (const group of [0, 1, 2, 3]) {
        const own = rows.flatMap((row, i) => (row.prompt_number === group ? [i] : []))
        const values = normalized(own.map((i) => rows[i]!.reward_parts[part]!.value))
        own.forEach((i, place) => (sums[i]! += [0.5, 2][part]! * values[place]!))
      }
    }
    const advantages = normalized(sums)
    rows.forEach(({ advantage }, i) => expect(advantage).toBeCloseTo(advantages[i]!, 5))
    // the two differ in a group, so that summing first would be something else
    expect(rows.some(({ reward_parts: [a, b] }) => a!.value !== b!.value)).toBe(true)
  })
})
