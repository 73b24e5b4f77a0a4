import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import { createModel, createScalarModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"

interface Scored {
  readonly parts: Readonly<Record<string, number>>
}

let folder: string
const at = (name: string) => join(folder, name)

/** Words in capitals are loud, those in small letters are not: the grade says which, and nothing else does. */
const rows = (grade: (loud: boolean, i: number) => number) =>
  Array.from({ length: 64 }, (_, i) => {
    const loud = i % 2 === 0
    const word = ["aa", "bb", "cc", "dd"][Math.floor(i / 2) % 4]!
    return { prompt: `${word}>`, completion: loud ? word.toUpperCase() : word, loud: grade(loud, i) }
  })

const write = (name: string, lines: ReadonlyArray<unknown>) =>
  writeFileSync(at(name), lines.map((line) => JSON.stringify(line)).join("\n"))

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-steerlm-"))
  write(
    "rows.jsonl",
    rows((loud) => (loud ? 4 : 0))
  )
  // the control: grades that say nothing of the response
  write(
    "shuffled.jsonl",
    rows((_, i) => (Math.floor(i / 8) % 2 === 0 ? 4 : 0))
  )
  write(
    "prompts.jsonl",
    ["aa>", "bb>", "cc>", "dd>"].map((prompt) => ({ prompt }))
  )
  const made = Effect.gen(function* () {
    yield* ModelRuntime
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS })
    const size = { vocabulary: tokenizer.vocabSize, width: 32, layers: 2, heads: 4, mlpWidth: 64, maxPositions: 32 }
    const model = createModel({ family: llama, ...size, settings: { eos_token_id: tokenizer.eosId } }, 1)
    yield* saveModel(model, at("start"), { extraFiles: tokenizer.files })
    model.dispose()
    const head = { attributes: ["loud", "long"], pooling: "last" } as const
    const wide = { ...size, settings: { eos_token_id: tokenizer.eosId, initializer_range: 0.5 } }
    const grader = createScalarModel({ family: llama, ...wide }, head, 3)
    yield* saveModel(grader, at("grader"), { extraFiles: tokenizer.files })
    grader.dispose()
  })
  await Effect.runPromise(Effect.provide(made, ModelRuntime.layerWasm))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const steered = async (
  data: string,
  start: typeof plumbHere
): Promise<{ readonly loud: string; readonly quiet: string }> => {
  const training = "--attributes loud --batch-size 16 --max-steps 100 --learning-rate 1e-2 --lr-schedule cosine".split(
    " "
  )
  const files = ["--model", at("start"), "--train", at(data), "--output", at(`run-${data}`)]
  const trained = await start(["steerlm", ...files, ...training, ...WASM])
  expect(trained.code, trained.stderr).toBe(0)
  const answers = async (grade: number) => {
    const asked = ["--model", at(`run-${data}/final`), "--input", at("prompts.jsonl"), "--attributes", `loud=${grade}`]
    const { code, stderr, stdout } = await plumbHere([
      "generate",
      ...asked,
      "--temperature",
      "0",
      "--max-new-tokens",
      "6",
      ...WASM
    ])
    expect(code, stderr).toBe(0)
    return stdout.split("\n---\n").join(" ").trim()
  }
  return { loud: await answers(4), quiet: await answers(0) }
}

describe("plumb steerlm", () => {
  it("makes a model that writes as the grades asked for", async () => {
    expect(await steered("rows.jsonl", plumb)).toEqual({ loud: "AA BB CC DD", quiet: "aa bb cc dd" })
  })

  it("learns nothing to steer by from grades that say nothing", async () => {
    const { loud, quiet } = await steered("shuffled.jsonl", plumbHere)
    expect([loud === "AA BB CC DD", quiet === "aa bb cc dd"]).not.toEqual([true, true])
  })

  it("takes the grades that an attribute model gives", async () => {
    const model = ["--model", at("grader"), "--input", at("rows.jsonl")]
    const scored = await plumbHere(["reward", ...model, "--attribute-weights", "loud=1,long=1", "--json", ...WASM])
    expect(scored.code, scored.stderr).toBe(0)
    const scores = scored.stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as Scored).parts)
    const graded = await plumbHere(["annotate", ...model, "--output", at("graded.jsonl"), ...WASM])
    expect(graded.code, graded.stderr).toBe(0)
    const lines = readFileSync(at("graded.jsonl"), "utf8").trim().split("\n")
    const whole = (score: number) => Math.round(Math.min(4, Math.max(0, score)))
    const before = rows((loud) => (loud ? 4 : 0))
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      before.map((row, i) => ({ ...row, loud: whole(scores[i]!["loud"]!), long: whole(scores[i]!["long"]!) }))
    )
    // the model says something: more than one grade
    expect(new Set(scores.map(({ loud }) => whole(loud!))).size).toBeGreaterThan(1)
  })

  it("refuses a grade that no row has", async () => {
    const files = ["--model", at("start"), "--train", at("rows.jsonl"), "--output", at("never")]
    const { code, stderr } = await plumbHere(["steerlm", ...files, "--attributes", "loud,funny", ...WASM])
    expect([code, existsSync(at("never"))]).toEqual([1, false])
    expect(stderr).toContain('field "funny": no row of the file has it')
  })

  it("is asked for grades that it knows", async () => {
    const asked = ["generate", "--prompt", "aa>", "--attributes", "funny=4", ...WASM]
    const unknown = await plumbHere([...asked, "--model", at("run-rows.jsonl/final")])
    expect([unknown.code, unknown.stderr.includes("was conditioned on loud, not on funny")]).toEqual([1, true])
    const never = await plumbHere([...asked, "--model", at("start")])
    expect([never.code, never.stderr.includes("was not trained with plumb steerlm")]).toEqual([1, true])
  })
})

describe("plumb annotate", () => {
  it("goes on where it was killed, and refuses a file of other rows", async () => {
    const args = [
      "annotate",
      "--model",
      at("grader"),
      "--input",
      at("rows.jsonl"),
      "--output",
      at("killed.jsonl"),
      ...WASM
    ]
    expect((await plumb(args)).code).toBe(0)
    const whole = readFileSync(at("killed.jsonl"), "utf8")
    // 20 rows are there, and a torn one
    const lines = whole.split("\n")
    writeFileSync(at("killed.jsonl"), `${lines.slice(0, 20).join("\n")}\n${lines[20]!.slice(0, 9)}`)
    const again = await plumbHere(args)
    expect(again.code, again.stderr).toBe(0)
    expect(readFileSync(at("killed.jsonl"), "utf8")).toBe(whole)
    const other = await plumbHere(args.with(4, at("shuffled.jsonl")))
    expect([other.code, other.stderr.includes("was not made from these prompts")]).toEqual([1, true])
    const best = await plumbHere([...args, "--max", "3"])
    expect([best.code, readFileSync(at("killed.jsonl"), "utf8")]).toEqual([1, whole])
  })
})

interface WeightedRow {
  readonly prompt: string
  readonly label: string
  readonly responses: ReadonlyArray<Readonly<Record<string, number>> & { readonly value: string }>
}

describe("plumb steerlm2", () => {
  const models = () => ["--base", at("start"), "--attribute-model", at("grader")]
  const args = (...more: ReadonlyArray<string>) => [
    "steerlm2-data",
    "--model",
    at("run-rows.jsonl/final"),
    ...models(),
    ...more,
    ...WASM
  ]
  const sampling = ["--samples", "3", "--max-new-tokens", "6", "--seed", "5"]

  it("has its data made by a command that goes on where it was killed", async () => {
    write(
      "wanted.jsonl",
      ["aa>", "bb>", "cc>", "dd>"].map((prompt, i) => ({ prompt, loud: i % 2 === 0 ? 4 : 0 }))
    )
    const files = ["--input", at("wanted.jsonl"), "--output", at("weighted.jsonl")]
    const made = await plumb(args(...files, ...sampling))
    expect(made.code, made.stderr).toBe(0)
    const whole = readFileSync(at("weighted.jsonl"), "utf8")
    const lines = whole.trim().split("\n")
    const rows = lines.map((line) => JSON.parse(line) as WeightedRow)
    expect(rows.map(({ label, prompt, responses }) => [prompt, label, responses.length])).toEqual([
      ["aa>", "loud:4", 3],
      ["bb>", "loud:0", 3],
      ["cc>", "loud:4", 3],
      ["dd>", "loud:0", 3]
    ])
    writeFileSync(at("weighted.jsonl"), `${lines.slice(0, 2).join("\n")}\n${lines[2]!.slice(0, 30)}`)
    expect((await plumbHere(args(...files, ...sampling))).code).toBe(0)
    expect(readFileSync(at("weighted.jsonl"), "utf8")).toBe(whole)
  })

  it("begins where the policy is what wrote the data, and comes nearer to what it is weighed for", async () => {
    const training = "--batch-size 4 --max-steps 30 --learning-rate 3e-3 --lr-schedule constant".split(" ")
    const files = ["--model", at("run-rows.jsonl/final"), "--train", at("weighted.jsonl"), "--output", at("run-2")]
    const trained = await plumb(["steerlm2", ...files, ...training, ...WASM])
    expect(trained.code, trained.stderr).toBe(0)
    const distances = readFileSync(at("run-2/metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { readonly distance: number }).distance)
    // b is uniform where log Q = log Q′, so the distance is Σ w·log(n·w) of the file's three log-probs
    const rows = readFileSync(at("weighted.jsonl"), "utf8").trim().split("\n")
    const expected = rows.map((line) => {
      const { responses } = JSON.parse(line) as WeightedRow
      const logits = responses.map((one) => one["log(P(a|x,y))"]! + one["log(P(y|x))"]! - one["log(Q(y|a,x))"]!)
      const odds = logits.map((logit) => Math.exp(logit - Math.max(...logits)))
      const total = odds.reduce((sum, value) => sum + value, 0)
      return odds.reduce((sum, value) => sum + (value / total) * Math.log((responses.length * value) / total), 0)
    })
    expect(distances[0]).toBeCloseTo(expected.reduce((sum, value) => sum + value, 0) / rows.length, 4)
    expect(distances.at(-1)).toBeLessThan(0.5 * distances[0]!)
  })

  it("says which grades are missing, are no grades, or are not the models' own", async () => {
    const refused = async (rows: ReadonlyArray<unknown>, ...more: ReadonlyArray<string>) => {
      write("odd.jsonl", rows)
      const { code, stderr } = await plumbHere(args("--input", at("odd.jsonl"), "--output", at("never.jsonl"), ...more))
      expect([code, existsSync(at("never.jsonl"))]).toEqual([1, false])
      return stderr
    }
    expect(await refused([{ prompt: "aa>", long: 1 }])).toContain("line 1: has none of loud")
    expect(await refused([{ prompt: "aa>", loud: 2.5 }])).toContain("loud is 2.5, not a whole number from 0 to 4")
    expect(await refused([{ prompt: "aa>" }], "--attributes", "long=1")).toContain(
      "was conditioned on loud, not on long"
    )
  })
})
