import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import { createModel, createScalarModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"

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

const steered = async (data: string): Promise<{ readonly loud: string; readonly quiet: string }> => {
  const training = "--attributes loud --batch-size 16 --max-steps 100 --learning-rate 1e-2 --lr-schedule cosine".split(
    " "
  )
  const files = ["--model", at("start"), "--train", at(data), "--output", at(`run-${data}`)]
  const trained = await plumb(["steerlm", ...files, ...training, ...WASM])
  expect(trained.code, trained.stderr).toBe(0)
  const answers = async (grade: number) => {
    const asked = ["--model", at(`run-${data}/final`), "--input", at("prompts.jsonl"), "--attributes", `loud=${grade}`]
    const { code, stderr, stdout } = await plumb([
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
    expect(await steered("rows.jsonl")).toEqual({ loud: "AA BB CC DD", quiet: "aa bb cc dd" })
  })

  it("learns nothing to steer by from grades that say nothing", async () => {
    const { loud, quiet } = await steered("shuffled.jsonl")
    expect([loud === "AA BB CC DD", quiet === "aa bb cc dd"]).not.toEqual([true, true])
  })

  it("takes the grades that an attribute model gives", async () => {
    const model = ["--model", at("grader"), "--input", at("rows.jsonl")]
    const scored = await plumb(["reward", ...model, "--attribute-weights", "loud=1,long=1", "--json", ...WASM])
    expect(scored.code, scored.stderr).toBe(0)
    const scores = scored.stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as Scored).parts)
    const graded = await plumb(["annotate", ...model, "--output", at("graded.jsonl"), ...WASM])
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

  it("is asked for grades that it knows", async () => {
    const asked = ["generate", "--prompt", "aa>", "--attributes", "funny=4", ...WASM]
    const unknown = await plumb([...asked, "--model", at("run-rows.jsonl/final")])
    expect([unknown.code, unknown.stderr.includes("was conditioned on loud, not on funny")]).toEqual([1, true])
    const never = await plumb([...asked, "--model", at("start")])
    expect([never.code, never.stderr.includes("was not trained with plumb steerlm")]).toEqual([1, true])
  })
})
