import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { byteTokenizer } from "../tokenizer/byte-tokenizer.ts"
import { gradedDataset, stepwiseDataset } from "../tokenise/dataset.ts"
import { loadGraded } from "./graded.ts"
import { loadJudged } from "./judged.ts"
import { loadStepwise } from "./stepwise.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-graded-"))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
const jsonl = (rows: ReadonlyArray<unknown>): string => {
  const path = join(folder, `${files++}.jsonl`)
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"))
  return path
}
const tokenizer = byteTokenizer({ specials: ["<|im_end|>"] })
const limit = { maxLength: 100, policy: "truncate" } as const

describe("loadJudged", () => {
  it("takes ids, responses, chats, texts and lone prompts", async () => {
    const rows = [
      { input_ids: [1, 2] },
      { prompt: "p", response: "r" },
      { messages: [{ role: "user", content: "u" }] },
      { text: "t" },
      { prompt: "p" }
    ]
    const kinds = (await Effect.runPromise(loadJudged(jsonl(rows)))).map(({ kind }) => kind)
    expect(kinds).toEqual(["ids", "completion", "chat", "text", "text"])
  })
})

describe("loadGraded", () => {
  const load = async (...rows: Array<unknown>) =>
    (await Effect.runPromise(loadGraded(["good", "long"])(jsonl(rows)))).map(({ grades }) => [...grades])

  it("reads grades by name and as NeMo-Aligner's list; absent, null and -100 are missing, 0 is a grade", async () => {
    const text = { text: "t" }
    expect(
      await load(
        { ...text, good: 0, long: 3.5 },
        { ...text, good: -100, long: 1 },
        { ...text, good: null },
        { ...text, label: [1, -100] }
      )
    ).toEqual([
      [0, 3.5],
      [NaN, 1],
      [NaN, NaN],
      [1, NaN]
    ])
  })

  it("refuses what is no grade, by line and field", async () => {
    const failure = (row: object) => Effect.runPromise(Effect.flip(loadGraded(["good", "long"])(jsonl([row]))))
    expect(await failure({ text: "t", good: "4" })).toMatchObject({ _tag: "MalformedRecord", line: 1, field: "good" })
    expect(await failure({ text: "t", label: [1] })).toMatchObject({ field: "label" })
    expect(await failure({ text: "t", label: [1, "x"] })).toMatchObject({ field: "label.1" })
  })

  it("keeps grades with their rows through the length limit", async () => {
    const records = await Effect.runPromise(
      loadGraded(["good"])(
        jsonl([
          { text: "x".repeat(200), good: 1 },
          { text: "yy", good: 2 }
        ])
      )
    )
    const { rows } = await Effect.runPromise(gradedDataset(tokenizer, records, { ...limit, policy: "drop" }))
    expect(rows.map(({ grades, ids }) => [ids.length, ...grades])).toEqual([[2, 2]])
  })
})

describe("stepwise rows", () => {
  it("are prompt, steps and separators, scored on the last token of each separator", async () => {
    const file = jsonl([{ prompt: "2+2?", completions: ["ab", "c"], labels: [true, null] }])
    const records = await Effect.runPromise(loadStepwise(file))
    const { rows } = await Effect.runPromise(stepwiseDataset("\n#")(tokenizer, records, limit))
    expect(tokenizer.decode(rows[0]!.ids)).toBe("2+2?ab\n#c\n#")
    expect(Array.from(rows[0]!.ids.keys()).filter((t) => rows[0]!.lossMask[t] === 1)).toEqual([7, 10])
    expect([...rows[0]!.labels]).toEqual([1, NaN])
  })

  it("lose the steps beyond the length limit, and their labels", async () => {
    const file = jsonl([{ prompt: "q", steps: ["ab", "cd"], labels: [0, 1] }])
    const records = await Effect.runPromise(loadStepwise(file))
    const { rows, truncated } = await Effect.runPromise(
      stepwiseDataset("\n")(tokenizer, records, { ...limit, maxLength: 5 })
    )
    expect([[...rows[0]!.labels], truncated]).toEqual([[0], 1])
  })

  it("need a label a step", async () => {
    const row = { prompt: "q", completions: ["a", "b"], labels: [true] }
    expect(await Effect.runPromise(Effect.flip(loadStepwise(jsonl([row]))))).toMatchObject({ field: "labels" })
  })
})
