import { describe, expect, it } from "vitest"
import { readableTypes, writtenTypes } from "./dtype.ts"

const bytesOf = (words: Uint16Array<ArrayBuffer>) => new Uint8Array(words.buffer)
const narrowed = (type: "float16" | "bfloat16", values: ReadonlyArray<number>) =>
  Array.from(new Uint16Array(writtenTypes[type].narrow(Float32Array.from(values)).slice().buffer))

describe.for([
  ["F16", "float16"],
  ["BF16", "bfloat16"]
] as const)("%s", ([stored, written]) => {
  it("narrows every widened bit pattern back to itself", () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits)
    const values = readableTypes[stored]!.widen(bytesOf(patterns))
    const back = new Uint16Array(writtenTypes[written].narrow(values).slice().buffer)
    const changed = [...patterns].filter((bits) => back[bits] !== bits && !Number.isNaN(values[bits]))
    expect(changed).toEqual([])
    // all NaNs stay NaN
    const again = readableTypes[stored]!.widen(bytesOf(back))
    expect([...patterns].filter((bits) => Number.isNaN(values[bits]) !== Number.isNaN(again[bits]))).toEqual([])
  })
})

describe("float16", () => {
  it("has the values of IEEE 754", () => {
    // 1, −2, largest, smallest normal, smallest subnormal, 1/3 rounded, ∞, −0
    const bits = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x3555, 0x7c00, 0x8000)
    const expected = [1, -2, 65504, 2 ** -14, 2 ** -24, 0.333251953125, Infinity, -0]
    expect(Array.from(readableTypes["F16"]!.widen(bytesOf(bits)))).toEqual(expected)
  })

  it("rounds to the nearest, ties to even", () => {
    // 1 + 2⁻¹¹ lies half-way between 1 and 1 + 2⁻¹⁰; 1 + 3·2⁻¹¹ half-way to the even 1 + 2⁻⁹
    expect(narrowed("float16", [1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20])).toEqual([
      0x3c00, 0x3c02, 0x3c01
    ])
    // 65519.996 rounds down to the largest, 65520 up to ∞; 2⁻²⁵ is half of the smallest, a tie to 0
    expect(narrowed("float16", [65519.996, 65520, 1e9, 2 ** -25, 2 ** -25 + 2 ** -40])).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0, 1
    ])
  })
})

describe("bfloat16", () => {
  it("rounds to the nearest, ties to even", () => {
    // 8 bits of mantissa: 1 + 2⁻⁸ is a tie to 1, 1 + 3·2⁻⁸ a tie to 1 + 2⁻⁶
    expect(narrowed("bfloat16", [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38, NaN])).toEqual([
      0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0
    ])
  })
})
