import { RunStore } from "@plumbline/store"
import type { Recipe } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, startPlumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { root } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-recipes-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const recipes = join(root, "recipes")
const recipeFiles = readdirSync(recipes)
  .filter((name) => name.endsWith(".ts"))
  .filter((name) => readFileSync(join(recipes, name), "utf8").includes("export default"))

/** Values of parameters that have no default. */
const given: Readonly<Record<string, unknown>> = { base: "b", train: "train.jsonl", model: "model" }

const finished = async (args: ReadonlyArray<string>, start = plumbHere): Promise<string> => {
  const { code, stderr, stdout } = await start(args)
  expect(code, stderr).toBe(0)
  return stdout
}

/** Lines of metrics.jsonl without what the clock decides. */
const metrics = (run: string): ReadonlyArray<Readonly<Record<string, number>>> => {
  const file = join(run, "metrics.jsonl")
  const whole = existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []
  return whole.map((line) => {
    const { tokens_per_second, "timers/step": seconds, ...rest } = JSON.parse(line) as Record<string, number>
    expect(tokens_per_second! * seconds!).toBeGreaterThan(0)
    return rest
  })
}

describe("recipes", () => {
  it("are found", () =>
    expect(recipeFiles).toEqual([
      "adapters.ts",
      "constitution.ts",
      "dpo-gsm8k.ts",
      "first.ts",
      "grpo-gsm8k.ts",
      "meta-rewarding.ts",
      "preference-losses.ts",
      "quickstart.ts",
      "reversed-words.ts",
      "rm-gsm8k.ts",
      "self-improvement.ts",
      "sft-gsm8k.ts",
      "steerlm2.ts"
    ]))

  it.each(recipeFiles)("%s has its file's name, and parameters with defaults but for files", async (file) => {
    const module = (await import(join(recipes, file))) as { readonly default: Recipe<Fields, unknown, unknown> }
    const { name, params } = module.default
    expect(`${name}.ts`).toBe(basename(file))
    const values = Object.fromEntries(Object.entries(given).filter(([key]) => key in params.fields))
    expect(Schema.decodeUnknownSync(params)(values, { onExcessProperty: "error" })).toMatchObject(values)
  })

  it("first.ts is the program that the README shows", () => {
    const shown = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))![1]!
    const lines = (text: string) => text.split("\n").filter((line) => line !== "")
    expect(lines(shown)).toEqual(lines(readFileSync(join(recipes, "first.ts"), "utf8")))
  })

  it("first.ts learns its capitals", async () => {
    const output = join(folder, "first")
    await finished(["run", "recipes/first.ts", "--output", output, ...WASM])
    const prompt = ["--prompt", "The capital of Peru is", "--temperature", "0"]
    expect(await finished(["generate", "--model", join(output, "final"), ...prompt, ...WASM])).toBe(" Lima.\n")
  })
})

type Fields = Schema.Codec<Readonly<Record<string, unknown>>> & { readonly fields: Readonly<Record<string, unknown>> }

describe("quickstart.ts at a tiny size", () => {
  const sizes = "--demonstrations 96 --pairs 64 --held-out 20 --width 24 --sft-steps 8 --dpo-steps 6 --seed 5"
  const args = (output: string) => ["run", "recipes/quickstart.ts", ...sizes.split(" "), "--output", output, ...WASM]

  it("runs both stages, compares them on held-out prompts and keeps the answers", async () => {
    const output = join(folder, "whole", "quickstart")
    const shown = await finished(args(output), plumb)
    expect(shown).toMatch(/20 held-out prompts and pairs +SFT +SFT \+ DPO/)
    expect(shown).toMatch(/answers that are right +\d+\.\d % +\d+\.\d %/)
    expect(shown).toMatch(/pairs whose chosen side is likelier +\d+\.\d % +\d+\.\d %/)
    // DPO starts at policy = reference: ln 2
    expect(metrics(join(output, "dpo"))[0]!["loss"]).toBeCloseTo(Math.LN2, 6)
    const samples = await Effect.runPromise(
      Effect.flatMap(RunStore, (store) => store.samples(join(output, "dpo"), 6)).pipe(
        Effect.provide(RunStore.layerSqlite(join(folder, "whole", "plumbline.db")))
      )
    )
    expect(samples.map(({ label }) => label)).toEqual([...Array(20).fill("before"), ...Array(20).fill("after")])
    expect(samples[0]!.extra).toMatchObject({ kind: "capitals", correct: 0 })
  })

  it.each(["kto", "simpo", "aot", "rpo-sq", "tr-dpo", "tpo"])(
    "leaves an SFT model that preference-losses.ts aligns with %s",
    async (loss) => {
      const model = join(folder, "whole", "quickstart", "sft", "final")
      const output = join(folder, "losses", loss)
      const tiny = "--pairs 64 --held-out 20 --steps 4 --seed 5".split(" ")
      const named = ["--model", model, "--loss", loss, "--output", output]
      const shown = await finished(["run", "recipes/preference-losses.ts", ...named, ...tiny, ...WASM])
      expect(shown).toMatch(new RegExp(`20 held-out prompts and pairs +SFT +SFT \\+ ${loss}`))
      expect(metrics(join(output, loss)).length).toBe(4)
    }
  )

  it.each(["spin", "rejection-sampling", "steerlm", "distillation"])(
    "leaves models that self-improvement.ts goes on from with %s",
    async (method) => {
      const model = join(folder, "whole", "quickstart", "sft", "final")
      const output = join(folder, "methods", method)
      const tiny = "--rows 64 --held-out 20 --steps 3 --seed 5".split(" ")
      const named = ["--model", model, "--method", method, "--output", output]
      const shown = await finished(["run", "recipes/self-improvement.ts", ...named, ...tiny, ...WASM])
      expect(shown).toMatch(/before \d+\.\d %, \d+\.\d % {3}after \d+\.\d %, \d+\.\d %/)
      expect(metrics(join(output, method)).length).toBe(3)
    }
  )

  it.each(["qlora", "pissa"])(
    "leaves an SFT model that adapters.ts aligns through an adapter with %s",
    async (method) => {
      const model = join(folder, "whole", "quickstart", "sft", "final")
      const output = join(folder, "adapters", method)
      const tiny = "--pairs 64 --held-out 20 --steps 3 --rank 2 --seed 5".split(" ")
      const named = ["--model", model, "--method", method, "--output", output]
      const shown = await finished(["run", "recipes/adapters.ts", ...named, ...tiny, ...WASM])
      expect(shown).toMatch(/before (\d+\.\d %(, )?){3} {3}after (\d+\.\d %(, )?){3}/)
      expect(metrics(join(output, method))[0]!["loss"]).toBeCloseTo(Math.LN2, 6)
      expect(existsSync(join(output, method, "final", "adapter_model.safetensors"))).toBe(true)
    }
  )

  it("leaves a steered model that steerlm2.ts draws to the grades asked for", async () => {
    const output = join(folder, "steerlm2")
    const models = ["--model", join(folder, "methods/steerlm/steerlm/final")]
    const base = ["--base", join(folder, "whole/quickstart/sft/final")]
    const tiny = "--prompts 32 --samples 3 --max-new-tokens 8 --held-out 20 --steps 2 --seed 5".split(" ")
    const shown = await finished([
      "run",
      "recipes/steerlm2.ts",
      ...models,
      ...base,
      ...tiny,
      "--output",
      output,
      ...WASM
    ])
    expect(shown).toMatch(/before \d+\.\d %, \d+\.\d % {3}after \d+\.\d %, \d+\.\d %/)
    expect(metrics(join(output, "steerlm2")).length).toBe(2)
  })

  it.each(["sft", "dpo"])("goes on exactly where it was killed in stage %s", async (stage) => {
    const output = join(folder, `killed-${stage}`, "quickstart")
    const child = startPlumb(args(output))
    const closed = once(child, "close")
    while (metrics(join(output, stage)).length < 2 && child.exitCode === null) await sleep(5)
    child.kill("SIGKILL")
    await closed
    expect(metrics(join(output, "dpo")).length).toBeLessThan(6)
    await finished(["resume", output], plumb)
    for (const part of ["sft", "dpo"]) {
      expect(metrics(join(output, part)), part).toEqual(metrics(join(folder, "whole", "quickstart", part)))
    }
  })
})

describe("the gsm8k recipes on a file of their form", () => {
  const sums = Array.from({ length: 24 }, (_, i) => ({ question: `What is ${i} plus 2?`, right: i + 2, wrong: i + 3 }))
  const write = (name: string, rows: ReadonlyArray<unknown>) => {
    const file = join(folder, name)
    writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
    return file
  }

  it("train a reward model, and test it on questions that it never saw", async () => {
    const pairs = sums.flatMap(({ question, right, wrong }) =>
      [wrong, wrong + 1].map((one) => ({ prompt: question, chosen: `It is ${right}.`, rejected: `It is ${one}.` }))
    )
    const output = join(folder, "rm-gsm8k")
    const short = ["--max-steps", "6", "--batch-size", "8", "--vocab-size", "300", "--width", "16", "--layers", "1"]
    const train = ["--train", write("rm-pairs.jsonl", pairs), ...short, ...WASM, "--output", output]
    const shown = await finished(["run", "recipes/rm-gsm8k.ts", ...train])
    expect(shown).toMatch(/held out: \d+\.\d % of \d+ pairs on \d+ questions that training never saw, margin -?\d/)
    const questions = (name: string) =>
      new Set(
        readFileSync(join(output, "data", name), "utf8")
          .trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as { readonly prompt: string }).prompt)
      )
    const [seen, heldOut] = [questions("train.jsonl"), questions("held-out.jsonl")]
    expect([...heldOut].filter((question) => seen.has(question))).toEqual([])
    expect([heldOut.size > 0, seen.size + heldOut.size]).toEqual([true, sums.length])
    expect(metrics(join(output, "rm")).at(-1)).toHaveProperty("eval_accuracy")
  })

  it("train a vocabulary and a model, and align it", async () => {
    const answers = sums.map(({ question, right }) => ({ question, answer: `It is ${right}.\n#### ${right}` }))
    const pairs = sums.map(({ question, right, wrong }) => ({
      prompt: question,
      chosen: `It is ${right}.`,
      rejected: `It is ${wrong}.`
    }))
    const [sft, dpo] = [join(folder, "sft-gsm8k"), join(folder, "dpo-gsm8k")]
    const short = ["--max-steps", "8", "--batch-size", "8", ...WASM]
    const train = ["--train", write("answers.jsonl", answers), "--vocab-size", "300"]
    await finished(["run", "recipes/sft-gsm8k.ts", ...train, ...short, "--output", sft])
    const aligned = ["--model", join(sft, "final"), "--train", write("pairs.jsonl", pairs)]
    await finished(["run", "recipes/dpo-gsm8k.ts", ...aligned, ...short, "--output", dpo])
    const losses = metrics(sft).map(({ loss }) => loss!)
    const { vocab_size: tokens } = JSON.parse(readFileSync(join(sft, "final", "config.json"), "utf8"))
    expect(tokens).toBeLessThanOrEqual(300)
    // a new model finds all tokens about equally likely; with tied embeddings the last token a little more so
    expect(Math.abs(losses[0]! - Math.log(tokens))).toBeLessThan(0.2)
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1)
    expect(metrics(dpo)[0]!["loss"]).toBeCloseTo(Math.LN2, 6)
  })
})
