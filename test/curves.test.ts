import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { hasCuda } from "@plumbline/runtime/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { demonstrationsIn, judgedIn, preferenceFile } from "./preference-rows.ts"
import { golden, hasGolden, root, torchIsSetUp } from "./reference-files.ts"

interface Curve {
  readonly steps: ReadonlyArray<Readonly<Record<string, number>>>
}

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-curves-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const read = <A>(file: string): A => JSON.parse(readFileSync(file, "utf8")) as A

/** The command that makes each kind of curve, and what it reads. */
const commands: Readonly<Record<string, () => string>> = {
  sft: () => demonstrationsIn(folder),
  kto: () => judgedIn(folder),
  dpo: () => preferenceFile,
  rm: () => preferenceFile
}

// how each curve was recorded, as flags; shared/golden/README.md
const curves: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  ["sft", []],
  ["dpo-sigmoid", ["--beta", "0.1"]],
  ["dpo-ipo", ["--loss", "ipo", "--beta", "0.1"]],
  ["dpo-hinge", ["--loss", "hinge", "--beta", "0.1"]],
  ["dpo-rpo-nll", ["--loss", "sigmoid,sft", "--loss-weights", "1,0.5", "--beta", "0.1"]],
  ["dpo-accum", ["--micro-batch-size", "2", "--beta", "0.1"]],
  ["rm", ["--head", join(golden, "curves", "rm.json")]],
  ["rm", ["--head", join(golden, "curves", "rm.json"), "--micro-batch-size", "1", "--packing", "false"]],
  ["kto", ["--beta", "0.1"]],
  ["kto", ["--micro-batch-size", "1", "--packing", "false"]],
  ["dpo-sigmoid", ["--precompute-reference", "true", "--packing", "false"]]
]

const recipe =
  "--batch-size 4 --max-steps 6 --learning-rate 1e-3 --lr-schedule constant --weight-decay 0 --max-grad-norm 1 --max-length 256 --shuffle false"

// those that npm ci does not bring are there where their set-up left something
const isThere = {
  wasm: true,
  torch: torchIsSetUp,
  "torch --device cuda": hasCuda(),
  tensorflow: existsSync(join(root, ".tensorflow/binding.json"))
}
type Machine = keyof typeof isThere

const [, dpoSigmoid] = curves
const all = (machine: Machine, precision: string, some = curves) =>
  some.map((curve) => [machine, precision, ...curve] as const)
const runs = [
  ...all("wasm", "float32"),
  ...all("torch", "float32"),
  ...all("torch", "bfloat16", curves.slice(0, -1)),
  ...all("torch --device cuda", "float32"),
  ...all("torch --device cuda", "bfloat16", curves.slice(0, -1)),
  ...all("tensorflow", "float32", [dpoSigmoid!])
]

describe.skipIf(!hasGolden)("curves recorded with TRL", () => {
  runs.forEach(([backend, precision, name, flags], i) => {
    it.skipIf(!isThere[backend])(`${backend}, ${precision}: ${name} ${flags.join(" ")}`, async () => {
      const command = name.split("-")[0]!
      const train = commands[command]!()
      const output = join(folder, `${name}-${i}`)
      const files = ["--model", join(golden, "models", "llama"), "--train", train, "--output", output]
      const machine = ["--backend", ...backend.split(" "), "--precision", precision]
      // TensorFlow and libtorch bring the same libraries
      const start = backend === "tensorflow" ? plumb : plumbHere
      const { code, stderr } = await start([command, ...files, ...recipe.split(" "), ...flags, ...machine])
      expect(code, stderr).toBe(0)
      const lines = readFileSync(join(output, "metrics.jsonl"), "utf8").trim().split("\n")
      const { steps } = read<Curve>(join(golden, "curves", `${name}.json`))
      expect(lines.length).toBe(steps.length)
      const expectStep = precision === "float32" ? expectSame : expectNearLoss
      steps.forEach((expected, step) => expectStep(JSON.parse(lines[step]!) as Step, expected))
    })
  })
})

type Step = Readonly<Record<string, number>>

const compared = (actual: Step, expected: Step) => ({
  where: (name: string) => `step ${actual["step"]}, ${name}: ${actual[name]} for ${expected[name]}`,
  relative: (name: string) => Math.abs(actual[name]! - expected[name]!) / Math.abs(expected[name]!)
})

/** What half the mantissa may cost on any step: the curves were recorded in float32. */
const expectNearLoss = (actual: Step, expected: Step) => {
  const { relative, where } = compared(actual, expected)
  expect(relative("loss"), where("loss")).toBeLessThan(0.02)
}

const expectSame = (actual: Step, expected: Step) => {
  const { relative, where } = compared(actual, expected)
  expect(relative("loss"), where("loss")).toBeLessThan(1e-4)
  expect(relative("grad_norm"), where("grad_norm")).toBeLessThan(1e-3)
  expect(actual["learning_rate"]).toBe(expected["learning_rate"])
  expect(actual["num_tokens"]).toBe(expected["num_tokens"])
  for (const name of Object.keys(expected).filter((name) =>
    /^(rewards|logps)\/|^(entropy|kl|margin)$|accuracy$|_reward$/.test(name)
  )) {
    // where policy and reference are the same, rounding decides which side is preferred
    if (name === "rewards/accuracies" && expected["rewards/margins"] === 0) continue
    const scale = Math.max(1, Math.abs(expected[name]!))
    expect(Math.abs(actual[name]! - expected[name]!) / scale, where(name)).toBeLessThan(1e-3)
  }
}
