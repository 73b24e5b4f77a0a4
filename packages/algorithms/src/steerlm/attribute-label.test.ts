import { testTokenizer } from "@plumbline/data/testing"
import { type DataError } from "@plumbline/data"
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { attributeLabel, conditionedOn, describeAttributes, labelled } from "./attribute-label.ts"
import { attributedFiles } from "./attributed-data.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-steerlm-"))
const file = (name: string, ...rows: ReadonlyArray<unknown>) => {
  writeFileSync(join(folder, name), rows.map((row) => JSON.stringify(row)).join("\n"))
  return join(folder, name)
}

/** What is read and, in brackets, what is learnt. */
const shown = ({ ids, lossMask }: { readonly ids: Int32Array; readonly lossMask: Uint8Array }): string =>
  Array.from(ids, (id, t) => {
    const text = testTokenizer.decode([id])
    return lossMask[t] === 1 ? `[${text}]` : text
  }).join("")

const read = (path: string, maxLength = 100, policy: "truncate" | "drop" | "error" = "truncate") =>
  attributedFiles(["humor", "length"]).read(testTokenizer, path, { maxLength, policy })

describe("the label of a response", () => {
  it("has the grades there are, in the order of training", () => {
    expect(attributeLabel(["b", "a", "c"], { a: 4, b: 0.5 })).toBe("b:0.5,a:4\n")
  })

  it("stands before the last answer, which alone is learnt", () => {
    const ids = Int32Array.of(1, 2, 3, 4, 5, 6)
    const row = labelled({ ids, lossMask: Uint8Array.of(0, 1, 0, 0, 1, 1) }, Int32Array.of(90, 91))
    expect([...row.ids]).toEqual([1, 2, 3, 4, 90, 91, 5, 6])
    expect([...row.lossMask]).toEqual([0, 0, 0, 0, 0, 0, 1, 1])
  })

  it("is put into texts and chats alike", async () => {
    const text = { prompt: "Q?", completion: "A", humor: 3, length: 1, id: 7 }
    const chat = {
      messages: [
        { role: "user", content: "Q" },
        { role: "assistant", content: "B" }
      ],
      length: 2
    }
    const { dataset } = await Effect.runPromise(read(file("both.jsonl", text, chat)))
    expect(dataset.rows.map(shown)).toEqual([
      "Q?humor:3,length:1\n[A][<|im_end|>]",
      "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nlength:2\n[B][<|im_end|>]\n"
    ])
  })

  it("counts in the length, and a row that it leaves no room is left out", async () => {
    const path = file(
      "long.jsonl",
      { prompt: "Q", completion: "ABC", humor: 3 },
      { prompt: "QQQQ", completion: "A", humor: 3 },
      { prompt: "QQQQ", completion: "A", length: 3 }
    )
    // Q humor:3\n and two letters; QQQQ humor:3\n leaves no room, and QQQQ length:3\n none either
    const { dataset } = await Effect.runPromise(read(path, 11))
    expect(dataset.rows.map(shown)).toEqual(["Qhumor:3\n[A]"].map((row) => row.replace("[A]", "[A][B]")))
    expect([dataset.truncated, dataset.dropped]).toEqual([1, 2])
    expect(await Effect.runPromise(Effect.flip(read(path, 11, "error")))).toMatchObject({ _tag: "RowTooLong", line: 1 })
  })

  it("needs a grade", async () => {
    const path = file(
      "none.jsonl",
      { prompt: "Q", completion: "A", humor: 1 },
      { prompt: "Q", completion: "A", other: 1 }
    )
    const error: DataError = await Effect.runPromise(Effect.flip(read(path)))
    expect(error.message).toMatch(/line 2: field "humor": the row has none of humor, length/)
  })
})

describe("a model folder", () => {
  it("says what its model was conditioned on, and refuses what it was not", () => {
    for (const [name, text] of Object.entries(describeAttributes(["b", "a"]))) writeFileSync(join(folder, name), text)
    expect(conditionedOn(folder, { a: 1 })).toEqual(["b", "a"])
    expect(() => conditionedOn(folder, { c: 1 })).toThrow("was conditioned on b, a, not on c")
    expect(() => conditionedOn(join(folder, "none"), { a: 1 })).toThrow("was not trained with plumb steerlm")
  })
})
