import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { loadPreferences } from "../records/preferences.ts"
import type { SupervisedRecord } from "../records/records.ts"
import { loadSupervised } from "../records/supervised.ts"
import { loadUnpaired } from "../records/unpaired.ts"
import { collate, scoredCount, type TokenizedRow } from "../rows.ts"
import { testTokenizer } from "../testing/index.ts"
import { byteTokenizer, CHATML_SPECIALS } from "../tokenizer/byte-tokenizer.ts"
import { loadTokenizer } from "../tokenizer/load-tokenizer.ts"
import { type LengthLimit, preferenceDataset, supervisedDataset, unpairedDataset } from "./dataset.ts"
import { fitToLength } from "./fit-to-length.ts"

const GOLDEN = join(import.meta.dirname, "../../../../../shared/golden")
const ROOMY: LengthLimit = { maxLength: 256, policy: "error" }

const record = (prompt: string, completion: string, line = 1): SupervisedRecord => ({
  kind: "completion",
  prompt,
  completion,
  origin: { file: "train.jsonl", line }
})

/** A question that nobody answers. */
const chat = (line: number): SupervisedRecord => ({
  kind: "chat",
  messages: [{ role: "user", content: "q" }],
  origin: { file: "train.jsonl", line }
})

describe("fitToLength", () => {
  const row: TokenizedRow = { ids: Int32Array.of(1, 2, 3, 4, 5), lossMask: Uint8Array.of(0, 0, 0, 1, 1) }

  it("keeps what fits, cuts the end, drops what would score nothing", () => {
    expect(fitToLength(row, 5, "truncate")).toEqual({ outcome: "kept", row })
    const cut = { ids: Int32Array.of(1, 2, 3, 4), lossMask: Uint8Array.of(0, 0, 0, 1) }
    expect(fitToLength(row, 4, "truncate")).toEqual({ outcome: "truncated", row: cut })
    expect(fitToLength(row, 3, "truncate")).toEqual({ outcome: "dropped" })
    expect(fitToLength(row, 4, "drop")).toEqual({ outcome: "dropped" })
    expect(fitToLength(row, 4, "error")).toEqual({ outcome: "tooLong" })
  })

  it("conserves supervised tokens up to the cut (bug class 4)", () => {
    for (let length = 1; length <= 5; length++) {
      const fitted = fitToLength(row, length, "truncate")
      const kept = "row" in fitted ? scoredCount(fitted.row) : 0
      expect(kept).toBe(Math.max(0, length - 3))
    }
  })
})

describe("datasets", () => {
  const records = [record("long prompt", "x", 1), record("p", "a long completion", 2), record("p", "ok", 4)]

  it("count what the limit did and say which records are left", async () => {
    // tokens: bytes + EOS; "long prompt" has 11, so 10 leave nothing to score
    const limit: LengthLimit = { maxLength: 10, policy: "truncate" }
    const result = await Effect.runPromise(supervisedDataset(testTokenizer, records, limit))
    expect(result).toMatchObject({ truncated: 1, dropped: 1, supervisesStop: true })
    expect([...result.records]).toEqual([1, 2])
    expect(result.rows.map(({ ids }) => testTokenizer.decode(ids))).toEqual(["pa long co", "pok<|im_end|>"])
  })

  it("name the row that is too long, and fail where none is left", async () => {
    const run = (limit: LengthLimit) => Effect.runPromise(Effect.flip(supervisedDataset(testTokenizer, records, limit)))
    const tooLong = await run({ maxLength: 15, policy: "error" })
    expect(tooLong).toMatchObject({ _tag: "RowTooLong", file: "train.jsonl", line: 2, tokens: 19, maxLength: 15 })
    expect(await run({ maxLength: 1, policy: "drop" })).toMatchObject({ _tag: "NoRowsLeft", dropped: 3 })
  })

  it("refuse a chat without an assistant turn (bug class 3)", async () => {
    expect(await Effect.runPromise(Effect.flip(supervisedDataset(testTokenizer, [chat(7)], ROOMY)))).toMatchObject({
      _tag: "EmptyLossMask",
      line: 7
    })
  })

  it("name the row whose messages the chat template refuses", async () => {
    const tokenizer = byteTokenizer({
      specials: CHATML_SPECIALS,
      chatTemplate: "{{ raise_exception('roles must alternate') }}"
    })
    const error = await Effect.runPromise(Effect.flip(supervisedDataset(tokenizer, [chat(7)], ROOMY)))
    expect(error).toMatchObject({ _tag: "ChatTemplateInvalid", place: "train.jsonl, line 7" })
    expect(error.message).toMatch(/^train\.jsonl, line 7: chat template of .*: roles must alternate$/)
  })

  it("say when nothing teaches the model to stop (bug class 3)", async () => {
    const limit: LengthLimit = { maxLength: 4, policy: "truncate" }
    const cut = await Effect.runPromise(supervisedDataset(testTokenizer, [record("p", "completion")], limit))
    expect(cut.supervisesStop).toBe(false)
  })

  it("cut both sides of a pair alike and drop it whole", async () => {
    const pairs = [
      { prompt: "p", chosen: "a long one", rejected: "no" },
      { prompt: "a long prompt", chosen: "a", rejected: "b" }
    ]
    const result = await Effect.runPromise(
      preferenceDataset(testTokenizer, pairs, { maxLength: 8, policy: "truncate" })
    )
    expect(result).toMatchObject({ truncated: 1, dropped: 1 })
    expect(testTokenizer.decode(result.rows[0]!.chosen.ids)).toBe("pa long ")
    expect(testTokenizer.decode(result.rows[0]!.rejected.ids)).toBe("pno<|im_end|>")
    const strict = preferenceDataset(testTokenizer, [...pairs, { prompt: "p", chosen: "a", rejected: "b" }], {
      maxLength: 8,
      policy: "drop"
    })
    // of the first pair only the chosen side is too long
    expect(await Effect.runPromise(strict)).toMatchObject({ truncated: 0, dropped: 2, records: Int32Array.of(2) })
  })
})

/** TRL 1.13's first batch: padded on the right, and the mask of what it scores. */
interface FirstBatch {
  readonly input_ids: ReadonlyArray<ReadonlyArray<number>>
  readonly attention_mask: ReadonlyArray<ReadonlyArray<number>>
  readonly completion_mask?: ReadonlyArray<ReadonlyArray<number>>
  readonly labels?: ReadonlyArray<ReadonlyArray<number>>
}

const expectSame = (rows: ReadonlyArray<TokenizedRow>, expected: FirstBatch, padId: number) => {
  const batch = collate(rows, { layout: "padded-right", padId })
  expect([...batch.tokens]).toEqual(expected.input_ids.flat())
  expect([...batch.lengths]).toEqual(expected.attention_mask.map((mask) => mask.reduce((a, b) => a + b, 0)))
  const scores = expected.labels?.flat().map((label) => label !== -100) ?? expected.completion_mask!.flat().map(Boolean)
  const targets = scores.flatMap((counts, flat) => (counts ? [flat] : []))
  expect([...batch.scored.index].map((flat) => flat + 1)).toEqual(targets)
}

describe.skipIf(!existsSync(GOLDEN))("TRL's first batch", () => {
  const data = join(GOLDEN, "preferences.jsonl")
  const tokenizer = () => Effect.runPromise(loadTokenizer(join(GOLDEN, "models/llama")))
  const firstBatch = (curve: string) =>
    (JSON.parse(readFileSync(join(GOLDEN, `curves/${curve}.json`), "utf8")) as { first_batch: FirstBatch }).first_batch

  it("of SFT is reproduced from a preference file's chosen sides", async () => {
    const [llama, records] = [await tokenizer(), await Effect.runPromise(loadSupervised(data))]
    const { rows } = await Effect.runPromise(supervisedDataset(llama, records, ROOMY))
    expectSame(rows.slice(0, 4), firstBatch("sft"), llama.padId)
  })

  it("of DPO is reproduced, chosen sides first", async () => {
    const [llama, records] = [await tokenizer(), await Effect.runPromise(loadPreferences(data))]
    const { rows } = await Effect.runPromise(preferenceDataset(llama, records, ROOMY))
    const pairs = rows.slice(0, 4)
    const sides = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]
    expectSame(sides, firstBatch("dpo-sigmoid"), llama.padId)
  })

  it("of KTO alternates chosen and rejected rows of the file", async () => {
    const [llama, records] = [await tokenizer(), await Effect.runPromise(loadUnpaired(data))]
    const { rows } = await Effect.runPromise(unpairedDataset(llama, records, ROOMY))
    // chosen of row 1, rejected of row 2, chosen of row 3, …: TRL took every other side
    const alternating = [0, 3, 4, 7].map((r) => rows[r]!)
    expect(alternating.map(({ label }) => label)).toEqual([true, false, true, false])
    expectSame(alternating, firstBatch("kto"), llama.padId)
  })
})
