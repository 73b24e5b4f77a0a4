import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { demonstrationsIn, judgedIn, preferenceFile } from "./preference-rows.ts"
import { golden, hasGolden, torchIsSetUp } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-mixtures-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const model = join(golden, "models", "mixtral")
const backend = ["--backend", torchIsSetUp ? "torch" : "wasm"]

const data = { sft: () => demonstrationsIn(folder), dpo: () => preferenceFile, kto: () => judgedIn(folder) }

// six steps by TRL 1.13 with transformers 5.18 on the golden model and preferences.jsonl, recorded as the curves beside
// them: the load-balancing loss has TRL's weight of 0.001, and is in the loss
const curves: Readonly<Record<keyof typeof data, Readonly<Record<string, ReadonlyArray<number>>>>> = {
  sft: {
    loss: [7.150282, 7.100564, 7.084981, 7.029713, 6.957837, 6.896011],
    grad_norm: [2.517657, 2.981151, 2.330454, 3.551795, 2.884856, 3.033489],
    aux_loss: [2.166039, 2.269455, 2.080046, 2.363689, 2.330247, 2.541907]
  },
  dpo: {
    loss: [0.695314, 0.766554, 0.708048, 0.545316, 0.855599, 1.055217],
    grad_norm: [9.881109, 12.755014, 14.158578, 9.569792, 15.297979, 21.107704],
    aux_loss: [2.16702, 2.217145, 2.07316, 2.382495, 2.273518, 2.426257]
  },
  kto: {
    loss: [0.502169, 0.483938, 0.463451, 0.422426, 0.585682, 0.305458],
    grad_norm: [3.812302, 3.91312, 3.831773, 4.787252, 3.523714, 3.378773],
    aux_loss: [2.169485, 2.197136, 2.070852, 2.471254, 2.3402, 2.547518]
  }
}

const recipe =
  "--batch-size 4 --max-steps 6 --learning-rate 1e-3 --lr-schedule constant --weight-decay 0 --max-grad-norm 1 --max-length 256 --shuffle false --precision float32"

describe.skipIf(!hasGolden)("a mixture of experts", () => {
  it.each([
    ["sft", "packed", []],
    ["sft", "padded and split", ["--packing", "false", "--micro-batch-size", "1"]],
    ["kto", "packed", []],
    ["dpo", "split, blocks computed again", ["--micro-batch-size", "2", "--activation-checkpointing", "true"]]
  ] as const)("has TRL's %s curve, %s", async (command, form, flags) => {
    const output = join(folder, `${command}-${form}`)
    const files = ["--model", model, "--train", data[command](), "--output", output]
    const { code, stderr } = await plumbHere([command, ...files, ...recipe.split(" "), ...backend, ...flags])
    expect(code, stderr).toBe(0)
    const lines = readFileSync(join(output, "metrics.jsonl"), "utf8").trim().split("\n")
    for (const [metric, expected] of Object.entries(curves[command])) {
      expected.forEach((value, step) => {
        const found = (JSON.parse(lines[step]!) as Record<string, number>)[metric]!
        expect(Math.abs(found - value) / value, `step ${step + 1}, ${metric}: ${found}`).toBeLessThan(2e-5)
      })
    }
  })

  it("is trained by adapters on experts and router, in 4 bits too, and they merge", async () => {
    const [output, merged] = [join(folder, "lora"), join(folder, "merged")]
    const base = ["--model", model]
    const train = [...base, "--train", demonstrationsIn(folder), "--output", output, ...recipe.split(" "), ...backend]
    const targets = ["--lora-rank", "4", "--lora-targets", "w1,w2,w3,gate", "--quantised", "true"]
    const trained = await plumb(["sft", ...train, ...targets])
    expect(trained.code, trained.stderr).toBe(0)
    const adapter = ["--adapter", join(output, "final")]
    const { code, stderr } = await plumb(["merge", ...base, ...adapter, "--output", merged, ...backend])
    expect(code, stderr).toBe(0)
    const logProbs = async (args: ReadonlyArray<string>) => {
      const text = "There are 24 hours in a day."
      const { stdout } = await plumbHere(["score", ...args, "--text", text, "--json", ...backend])
      return (JSON.parse(stdout) as { token_logprobs: ReadonlyArray<number> }).token_logprobs.slice(1)
    }
    const [plain, adapted, whole] = [
      await logProbs(base),
      await logProbs([...base, ...adapter]),
      await logProbs(["--model", merged])
    ]
    const gap = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
      a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    expect(gap(adapted, whole)).toBeLessThan(1e-4)
    expect(gap(adapted, plain)).toBeGreaterThan(2e-3)
  })
})
