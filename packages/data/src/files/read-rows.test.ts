import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { Effect } from "effect"
import { parquetWriteBuffer } from "hyparquet-writer"
import { afterAll, describe, expect, it } from "vitest"
import type { DataError } from "../errors.ts"
import { readRows } from "./read-rows.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-data-"))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}
const rows = async (path: string) => (await Effect.runPromise(readRows(path))).map(({ line, value }) => [line, value])
const failure = (path: string): Promise<DataError> => Effect.runPromise(Effect.flip(readRows(path)))

const TWO = '{"a":1}\n{"a":2}\n'
const EXPECTED = [
  [1, { a: 1 }],
  [2, { a: 2 }]
]

describe("JSON lines", () => {
  it.each([
    ["plain", TWO],
    ["without a last newline", TWO.trimEnd()],
    ["with CRLF", TWO.replaceAll("\n", "\r\n")],
    ["with a byte-order mark", `\uFEFF${TWO}`]
  ])("are read %s", async (name, text) => {
    expect(await rows(file(`${name}.jsonl`, text))).toEqual(EXPECTED)
  })

  it("skip blank lines but count them", async () => {
    expect(await rows(file("blank.jsonl", '\n{"a":1}\n  \n\r\n{"a":2}'))).toEqual([
      [2, { a: 1 }],
      [5, { a: 2 }]
    ])
  })

  it("are read compressed", async () => {
    expect(await rows(file("two.jsonl.gz", gzipSync(TWO)))).toEqual(EXPECTED)
  })

  it("keep characters that straddle the chunks of a large file", async () => {
    const text = "é日😀".repeat(5000)
    const large = Array.from({ length: 20 }, (_, i) => JSON.stringify({ i, text })).join("\n")
    const read = await rows(file("large.jsonl", large))
    expect(read.length).toBe(20)
    expect(read.every(([, value]) => (value as { text: string }).text === text)).toBe(true)
  })

  it("name the line that is not JSON", async () => {
    const broken = await failure(file("broken.jsonl", '{"a":1}\n\n{"a":\n'))
    expect(broken).toMatchObject({ _tag: "MalformedRecord", line: 3, field: "" })
    expect(broken.message).toMatch(/broken\.jsonl, line 3: not JSON: /)
  })

  it("tell what Git LFS left in a file's place", async () => {
    const pointer = await failure(file("pointer.jsonl", "version https://git-lfs.github.com/spec/v1\nsize 12\n"))
    expect(pointer.message).toMatch(/pointer\.jsonl, line 1: this is the pointer that Git LFS left .* `git lfs pull`/)
  })

  it("name the field that holds NaN", async () => {
    const nan = await failure(file("nan.jsonl", '{"a":1}\n{"a":1,"chosen_reward": NaN}\n'))
    expect(nan).toMatchObject({ _tag: "MalformedRecord", line: 2, field: "chosen_reward" })
    expect(nan.message).toContain("NaN is not a finite number")
  })

  it.each([
    ["[1,2]", "an array; write one object a line"],
    ["3", "not a JSON object"],
    ["null", "not a JSON object"]
  ])("refuse %s for a row", async (text, reason) => {
    expect(await failure(file("row.jsonl", text))).toMatchObject({ _tag: "MalformedRecord", line: 1, reason })
  })

  it("of a .json file may be one array, written on one line or many, also gzipped", async () => {
    const whole = [
      [1, { a: "x" }],
      [2, { a: "y" }]
    ]
    expect(await rows(file("one-line.json", '[{"a":"x"},{"a":"y"}]'))).toEqual(whole)
    expect(await rows(file("lines.json", '\n[\n  {\n    "a": "x"\n  },\n  {"a": "y"}\n]\n'))).toEqual(whole)
    expect(await rows(file("array.json.gz", gzipSync('[{"a":"x"},{"a":"y"}]')))).toEqual(whole)
    expect(await failure(file("numbers.json", '[{"a":"x"}, 3]'))).toMatchObject({
      line: 2,
      reason: "not a JSON object"
    })
    expect(await failure(file("torn.json", '[{"a":"x"},\n{"a":'))).toMatchObject({ _tag: "MalformedRecord", line: 1 })
    expect(await failure(file("none.json", "[]"))).toMatchObject({ _tag: "EmptyDataset" })
  })

  it.each(["latin.jsonl", "latin.json"])("name the line of bytes that are not UTF-8, of %s", async (name) => {
    expect(await failure(file(name, Buffer.from('{"a":"x"}\n\n{"a":"\xe9"}\n', "latin1")))).toMatchObject({
      _tag: "MalformedRecord",
      line: 3,
      reason: "not text in UTF-8"
    })
  })

  it("end in an error where the gzip stream is cut off or is none", async () => {
    const whole = gzipSync(TWO.repeat(1000))
    expect(await failure(file("cut.jsonl.gz", whole.subarray(0, whole.length - 12)))).toMatchObject({
      _tag: "UnsupportedFile",
      reason: "cannot be read: unexpected end of file"
    })
    expect(await failure(file("plain.jsonl.gz", TWO))).toMatchObject({ _tag: "UnsupportedFile" })
  })
})

describe("Parquet", () => {
  const columnData = [
    { name: "prompt", data: ["a", "b"], type: "STRING" as const },
    { name: "score", data: [1n, 2n], type: "INT64" as const }
  ]

  it.each(["UNCOMPRESSED", "SNAPPY"] as const)("is read %s, 64-bit integers as numbers", async (codec) => {
    const path = file(`${codec}.parquet`, new Uint8Array(parquetWriteBuffer({ columnData, codec })))
    expect(await rows(path)).toEqual([
      [1, { prompt: "a", score: 1 }],
      [2, { prompt: "b", score: 2 }]
    ])
  })

  it("says so where the file is none", async () => {
    expect(await failure(file("fake.parquet", "this is not a parquet file at all"))).toMatchObject({
      _tag: "UnsupportedFile"
    })
  })
})

describe("a file", () => {
  it("that is missing, empty or of another kind is a typed error", async () => {
    expect(await failure(join(folder, "none.jsonl"))).toMatchObject({ _tag: "FileMissing" })
    expect(await failure(file("empty.jsonl", ""))).toMatchObject({ _tag: "EmptyDataset" })
    expect(await failure(file("blank-only.jsonl", "\n \n"))).toMatchObject({ _tag: "EmptyDataset" })
    expect(await failure(file("table.csv", "a,b"))).toMatchObject({ _tag: "UnsupportedFile" })
    expect((await failure(file("table.csv", "a,b"))).message).toContain(".jsonl")
    expect(await failure(folder)).toMatchObject({ _tag: "UnsupportedFile" })
  })
})
