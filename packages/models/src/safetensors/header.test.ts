import { describe, expect, it } from "vitest"
import { parseHeader } from "./header.ts"

const entry = (start: number, end: number, shape: ReadonlyArray<unknown> = [2], dtype: unknown = "F32") => ({
  dtype,
  shape,
  data_offsets: [start, end]
})
const parse = (header: unknown, dataBytes: number) => parseHeader(JSON.stringify(header), dataBytes)

describe("parseHeader", () => {
  it("accepts tensors in any order that fill the data, and metadata", () => {
    const header = {
      __metadata__: { format: "pt" },
      b: entry(8, 12, [2, 1], "BF16"),
      a: entry(0, 8),
      e: entry(8, 8, [0])
    }
    expect(parse(header, 12)).toEqual(
      new Map([
        ["b", { dtype: "BF16", shape: [2, 1], start: 8, end: 12 }],
        ["a", { dtype: "F32", shape: [2], start: 0, end: 8 }],
        ["e", { dtype: "F32", shape: [0], start: 8, end: 8 }]
      ])
    )
  })

  it.for([
    ["not JSON", "{", 0, undefined, "the header is not a JSON object"],
    ["a list", "[]", 0, undefined, "the header is not a JSON object"],
    ["an entry that is no object", `{"a": 3}`, 0, "a", "has no dtype"],
    ["a negative size", JSON.stringify({ a: entry(0, 8, [-2]) }), 8, "a", "has no valid shape"],
    ["a fractional size", JSON.stringify({ a: entry(0, 8, [0.5, 4]) }), 8, "a", "has no valid shape"],
    ["one offset", `{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}`, 8, "a", "has no valid data_offsets"],
    ["an unknown dtype", JSON.stringify({ a: entry(0, 8, [2], "F33") }), 8, "a", "has the unknown dtype F33"],
    ["too few bytes", JSON.stringify({ a: entry(0, 4) }), 4, "a", "F32 [2] takes 8 bytes, its data_offsets give 4"],
    ["reversed offsets", JSON.stringify({ a: entry(8, 0) }), 8, "a", "F32 [2] takes 8 bytes, its data_offsets give -8"],
    [
      "missing data",
      JSON.stringify({ a: entry(0, 8) }),
      7,
      "a",
      "ends at byte 8 of the data, the file holds 7: it is truncated"
    ],
    [
      "an overlap",
      JSON.stringify({ a: entry(0, 8), b: entry(4, 12) }),
      12,
      "b",
      "begins at byte 4, inside the tensor before it"
    ],
    [
      "a gap",
      JSON.stringify({ a: entry(0, 8), b: entry(9, 17) }),
      17,
      "b",
      "begins at byte 9, the tensor before it ends at 8"
    ],
    [
      "bytes after the last",
      JSON.stringify({ a: entry(0, 8) }),
      9,
      undefined,
      "the tensors take 8 bytes, the file holds 9"
    ]
  ] as const)("refuses %s", ([, text, dataBytes, tensor, reason]) => {
    expect(parseHeader(text, dataBytes)).toEqual(tensor === undefined ? { reason } : { tensor, reason })
  })
})
