import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { parquetWriteBuffer } from "hyparquet-writer"
import { afterAll, describe, expect, it } from "vitest"
import type { DataError } from "../errors.ts"
import { loadPreferences } from "./preferences.ts"
import { loadPrompts } from "./prompts.ts"
import { loadSupervised } from "./supervised.ts"
import { loadTriples } from "./triples.ts"
import { loadUnpaired } from "./unpaired.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-records-"))
afterAll(() => rmSync(folder, { recursive: true }))

type Load<Record> = (path: string) => Effect.Effect<ReadonlyArray<Record>, DataError>
let files = 0
const jsonl = (rows: ReadonlyArray<unknown>): string => {
  const path = join(folder, `${files++}.jsonl`)
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"))
  return path
}
const load = async <Record extends { origin?: unknown; fields?: unknown }>(
  loader: Load<Record>,
  ...rows: Array<unknown>
) => {
  const records = await Effect.runPromise(loader(jsonl(rows)))
  return records.map(({ origin: _origin, fields: _fields, ...record }) => record)
}
const failure = <Record>(loader: Load<Record>, ...rows: Array<unknown>): Promise<DataError> =>
  Effect.runPromise(Effect.flip(loader(jsonl(rows))))

const textColumn = (name: string) => ({ name, data: ["x", "y"], type: "STRING" as const })
const user = (content: string) => ({ role: "user", content })
const assistant = (content: string) => ({ role: "assistant", content })

describe("loadSupervised", () => {
  it.each([
    { prompt: "p", completion: "c" },
    { prompt: "p", response: "c" },
    { input: "p", output: "c" },
    { question: "p", answer: "c" },
    { prompt: "p", chosen: "c", rejected: "r" },
    { prompt: "p", chosen_response: "c", rejected_response: "r" }
  ])("reads %o as a prompt and its completion", async (row) => {
    expect(await load(loadSupervised, row)).toEqual([{ kind: "completion", prompt: "p", completion: "c" }])
  })

  it("reads messages, ShareGPT turns, list content and plain text", async () => {
    const chat = { kind: "chat", messages: [user("hi"), assistant("yo")] }
    expect(await load(loadSupervised, { messages: [user("hi"), assistant("yo")] })).toEqual([chat])
    const turns = [
      { from: "human", value: "hi" },
      { from: "gpt", value: "yo" }
    ]
    expect(await load(loadSupervised, { conversations: turns })).toEqual([chat])
    const parts = [{ type: "text", text: "h" }, { type: "image" }, { type: "text", text: "i" }]
    expect(await load(loadSupervised, { messages: [{ role: "user", content: parts }, assistant("yo")] })).toEqual([
      chat
    ])
    expect(await load(loadSupervised, { text: "t" })).toEqual([{ kind: "text", text: "t" }])
  })

  it("puts NeMo-Aligner's system text in front of its turns", async () => {
    const row = {
      system: "S",
      mask: "User",
      conversations: [
        { from: "User", value: "a" },
        { from: "Assistant", value: "b" }
      ]
    }
    expect(await load(loadSupervised, row)).toEqual([
      { kind: "chat", messages: [{ role: "system", content: "S" }, user("a"), assistant("b")] }
    ])
  })

  it("keeps HelpSteer's attributes, zeros included", async () => {
    const row = { prompt: "p", response: "c", helpfulness: 3, toxicity: 0, source: "x" }
    expect(await load(loadSupervised, row)).toEqual([
      { kind: "completion", prompt: "p", completion: "c", attributes: { helpfulness: 3, toxicity: 0 } }
    ])
  })

  it("makes messages of both sides where one is a list", async () => {
    expect(await load(loadSupervised, { prompt: [user("p")], completion: "c" })).toEqual([
      { kind: "completion", prompt: [user("p")], completion: [assistant("c")] }
    ])
  })

  it("names line and field of a missing field, a wrong type and an empty completion", async () => {
    const good = { prompt: "p", completion: "c" }
    expect(await failure(loadSupervised, good, { prompt: "p" })).toMatchObject({
      _tag: "MalformedRecord",
      line: 2,
      field: "completion"
    })
    expect(await failure(loadSupervised, { prompt: "p", completion: null })).toMatchObject({ field: "completion" })
    expect(await failure(loadSupervised, { id: 1 })).toMatchObject({ _tag: "MalformedRecord", line: 1, field: "" })
    expect(await failure(loadSupervised, good, good, { prompt: 5, completion: "c" })).toMatchObject({
      _tag: "MalformedRecord",
      line: 3,
      field: "prompt"
    })
    expect(await failure(loadSupervised, { messages: [user("a"), { role: 3, content: "b" }] })).toMatchObject({
      _tag: "MalformedRecord",
      field: expect.stringMatching(/^messages/)
    })
    expect(await failure(loadSupervised, good, { prompt: "p", completion: "" })).toMatchObject({
      _tag: "EmptyCompletion",
      line: 2,
      field: "completion"
    })
    expect(await failure(loadSupervised, { text: "" })).toMatchObject({ _tag: "EmptyCompletion", field: "text" })
    expect(await failure(loadSupervised, { messages: [] })).toMatchObject({ _tag: "EmptyCompletion" })
  })
})

describe("loadPreferences", () => {
  it("reads TRL's and NeMo-Aligner's names, rewards of 0 included", async () => {
    expect(await load(loadPreferences, { prompt: "p", chosen: "c", rejected: "r" })).toEqual([
      { prompt: "p", chosen: "c", rejected: "r" }
    ])
    const nemo = { prompt: "p", chosen_response: "c", rejected_response: "r", chosen_reward: 4, rejected_reward: 0 }
    expect(await load(loadPreferences, nemo)).toEqual([
      { prompt: "p", chosen: "c", rejected: "r", chosenReward: 4, rejectedReward: 0 }
    ])
    expect(await load(loadPreferences, { ...nemo, rejected_reward: null })).toEqual([
      { prompt: "p", chosen: "c", rejected: "r", chosenReward: 4 }
    ])
  })

  it("reads how far apart the sides are, and HelpSteer2's signed strengths", async () => {
    expect(
      await load(
        loadPreferences,
        { prompt: "p", chosen: "c", rejected: "r", margin: 0.5 },
        { prompt: "p", chosen: "c", rejected: "r", preference_strength: -2 },
        { prompt: "p", response_1: "a", response_2: "b", preference_strength: -3 },
        { prompt: "p", response_1: "a", response_2: "b", preference_strength: 1 },
        { prompt: "p", response_1: "a", response_2: "b", preference_strength: 0 }
      )
    ).toEqual([
      { prompt: "p", chosen: "c", rejected: "r", margin: 0.5 },
      { prompt: "p", chosen: "c", rejected: "r", strength: 2 },
      { prompt: "p", chosen: "a", rejected: "b", strength: 3 },
      { prompt: "p", chosen: "b", rejected: "a", strength: 1 },
      { prompt: "p", chosen: "b", rejected: "a", strength: 0 }
    ])
    const empty = { prompt: "p", response_1: "", response_2: "b", preference_strength: 1 }
    expect(await failure(loadPreferences, empty)).toMatchObject({ _tag: "EmptyCompletion", field: "response_1" })
  })

  // the cut is derived by hand: last whitespace of the common prefix, a space moved to the word after it
  it.each([
    ["Q: sky? A: blue", "Q: sky? A: black", "Q: sky? A:", " blue", " black"],
    ["Q: sky?\nblue", "Q: sky?\ngreen", "Q: sky?\n", "blue", "green"],
    ["It is blue", "It is blue now", "It is", " blue", " blue now"],
    ["yes", "no", "", "yes", "no"]
  ])("takes the prompt out of %j and %j", async (chosen, rejected, prompt, better, worse) => {
    expect(await load(loadPreferences, { chosen, rejected })).toEqual([{ prompt, chosen: better, rejected: worse }])
  })

  it("takes the leading messages both sides share", async () => {
    const row = { chosen: [user("q"), assistant("a")], rejected: [user("q"), assistant("b")] }
    const expected = [{ prompt: [user("q")], chosen: [assistant("a")], rejected: [assistant("b")] }]
    expect(await load(loadPreferences, row)).toEqual(expected)
    expect(await load(loadPreferences, { prompt: "q", ...row })).toEqual(expected)
    const dicts = { prompt: [user("q")], chosen_response: assistant("a"), rejected_response: assistant("b") }
    expect(await load(loadPreferences, dicts)).toEqual(expected)
  })

  it("refuses sides that are equal, empty, missing, or a reward that is no number", async () => {
    const same = { chosen: [user("q"), assistant("a")], rejected: [user("q"), assistant("a")] }
    expect(await failure(loadPreferences, same)).toMatchObject({ _tag: "EmptyCompletion", field: "chosen" })
    expect(await failure(loadPreferences, { prompt: "p", chosen: "c", rejected: "" })).toMatchObject({
      _tag: "EmptyCompletion",
      field: "rejected"
    })
    expect(await failure(loadPreferences, { prompt: "p", chosen: "c" })).toMatchObject({ field: "rejected" })
    const apart = { chosen: [user("q"), assistant("a")], rejected: [user("r"), assistant("b")] }
    expect(await failure(loadPreferences, apart)).toMatchObject({ _tag: "MalformedRecord", line: 1, field: "chosen" })
    // a prompt belongs to every form: what the plainest lacks is named
    expect(await failure(loadPreferences, { prompt: "p", label: true })).toMatchObject({ field: "chosen" })
    expect(await failure(loadPreferences, { prompt: "p", response_1: "c" })).toMatchObject({ field: "response_2" })
    const row = { prompt: "p", chosen: "c", rejected: "r" }
    expect(await failure(loadPreferences, { ...row, chosen_reward: "high" })).toMatchObject({
      _tag: "MalformedRecord",
      field: "chosen_reward"
    })
  })

  it("refuses a NaN reward of a Parquet file", async () => {
    const rewards = { name: "chosen_reward", data: [1, Number.NaN], type: "DOUBLE" as const }
    const path = join(folder, "nan.parquet")
    const columnData = [...["prompt", "chosen", "rejected"].map(textColumn), rewards]
    writeFileSync(path, new Uint8Array(parquetWriteBuffer({ columnData })))
    expect(await Effect.runPromise(Effect.flip(loadPreferences(path)))).toMatchObject({
      _tag: "MalformedRecord",
      line: 2,
      field: "chosen_reward"
    })
  })
})

describe("loadUnpaired", () => {
  it("reads labels as booleans or 0 and 1", async () => {
    const rows = [
      { prompt: "p", completion: "c", label: true },
      { prompt: "p", response: "c", label: 0 },
      // NeMo-Aligner's
      { prompt: "p", response: "c", preference: "chosen" },
      { prompt: "p", response: "c", preference: "rejected" }
    ]
    expect(await load(loadUnpaired, ...rows)).toEqual([
      { prompt: "p", completion: "c", label: true },
      { prompt: "p", completion: "c", label: false },
      { prompt: "p", completion: "c", label: true },
      { prompt: "p", completion: "c", label: false }
    ])
    expect(await failure(loadUnpaired, { prompt: "p", response: "c", preference: "better" })).toMatchObject({
      field: "preference"
    })
    expect(await failure(loadUnpaired, { prompt: "p", completion: "c", label: "yes" })).toMatchObject({
      field: "label"
    })
    expect(await failure(loadUnpaired, { prompt: "p", completion: "c" })).toMatchObject({ field: "label" })
  })

  it("takes a pair for two judged responses, chosen first", async () => {
    expect(await load(loadUnpaired, { prompt: "p", chosen: "c", rejected: "r" })).toEqual([
      { prompt: "p", completion: "c", label: true },
      { prompt: "p", completion: "r", label: false }
    ])
  })
})

describe("loadPrompts", () => {
  it("reads every accepted name", async () => {
    expect(
      await load(loadPrompts, { prompt: "a" }, { text: "" }, { question: "q", answer: "x" }, { input: "i" })
    ).toEqual([
      { kind: "text", text: "a" },
      { kind: "text", text: "" },
      { kind: "text", text: "q" },
      { kind: "text", text: "i" }
    ])
    expect(await load(loadPrompts, { messages: [user("a")] }, { prompt: [user("a")] }, { input_ids: [3, 1] })).toEqual([
      { kind: "chat", messages: [user("a")] },
      { kind: "chat", messages: [user("a")] },
      { kind: "ids", ids: Int32Array.of(3, 1) }
    ])
  })

  it("keeps the row for rewards to read, and refuses ids that are none", async () => {
    const [record] = await Effect.runPromise(loadPrompts(jsonl([{ question: "q", answer: "42" }])))
    expect(record).toMatchObject({ fields: { answer: "42" }, origin: { line: 1 } })
    expect(await failure(loadPrompts, { input_ids: [1, -2] })).toMatchObject({ field: "input_ids.1" })
    expect(await failure(loadPrompts, { input_ids: [1.5] })).toMatchObject({ field: "input_ids.0" })
    for (const field of ["messages", "prompt"]) {
      expect(await failure(loadPrompts, { [field]: [] })).toMatchObject({ field, reason: "has no messages" })
    }
  })
})

describe("loadTriples", () => {
  it("reads a pair with a gold response", async () => {
    expect(await load(loadTriples, { prompt: "p", chosen: "c", rejected: "r", reference: "g" })).toMatchObject([
      { prompt: "p", chosen: "c", rejected: "r", gold: "g" }
    ])
  })

  it("takes the shared beginning for the prompt, of the gold response as well", async () => {
    expect(await load(loadTriples, { chosen: "Q: x", rejected: "Q: y", reference: "Q: z" })).toMatchObject([
      { prompt: "Q:", chosen: " x", rejected: " y", gold: " z" }
    ])
    const turn = (role: string, content: string) => ({ role, content })
    const chat = (answer: string) => [turn("user", "q"), turn("assistant", answer)]
    const [triple] = await load(loadTriples, { chosen: chat("a"), rejected: chat("b"), reference: chat("c") })
    expect(triple).toMatchObject({ prompt: [turn("user", "q")], gold: [turn("assistant", "c")] })
  })

  it("names what is wrong with the gold response", async () => {
    const pair = { prompt: "p", chosen: "c", rejected: "r" }
    expect(await failure(loadTriples, pair)).toMatchObject({ field: "reference" })
    expect(await failure(loadTriples, { ...pair, reference: 3 })).toMatchObject({ field: "reference" })
    expect(await failure(loadTriples, { ...pair, reference: "" })).toMatchObject({ _tag: "EmptyCompletion" })
    expect(await failure(loadTriples, { chosen: "Q: x", rejected: "Q: y", reference: "z" })).toMatchObject({
      field: "reference",
      reason: expect.stringContaining("does not begin with the prompt") as string
    })
  })
})
