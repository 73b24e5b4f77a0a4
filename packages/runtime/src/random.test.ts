import { describe, expect, it } from "vitest"
import { InvalidSeed, philox4x32, philoxStream, type PhiloxWords } from "./random.ts"

const ONES = 0xffffffff

describe("philox4x32", () => {
  // Known answers of Random123 1.14, tests/kat_vectors, philox4x32 10.
  it.each<[counter: PhiloxWords, key: readonly [number, number], expected: PhiloxWords]>([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    ],
    [
      [ONES, ONES, ONES, ONES],
      [ONES, ONES],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    ]
  ])("of counter %o and key %o", (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected)
  })
})

const COUNT = 20_000

const take = (at: (index: number) => number, count = COUNT) => Array.from({ length: count }, (_, i) => at(i))

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

describe("philoxStream", () => {
  it("is a function of seed, name and index, in whatever order it is read", () => {
    const forward = take(philoxStream(5, "dropout").uint32, 100)
    const stream = philoxStream(5, "dropout")
    const backward = Array.from({ length: 100 }, (_, i) => stream.uint32(99 - i)).toReversed()
    expect(backward).toEqual(forward)
    expect(new Set(forward).size).toBe(100)
  })

  it("differs for every seed, beyond 2³² too, every name and every child", () => {
    const streams = [
      philoxStream(1, "a"),
      philoxStream(1 + 2 ** 32, "a"),
      philoxStream(2 ** 53 - 1, "a"),
      philoxStream(1, "b"),
      philoxStream(1, "ab"),
      philoxStream(1, "ba"),
      philoxStream(1, "a").child("b"),
      philoxStream(1, "b").child("a")
    ]
    expect(new Set(streams.map((stream) => take(stream.uint32, 4).join())).size).toBe(streams.length)
    expect(take(philoxStream(1, "a").child("b").uint32, 4)).toEqual(take(philoxStream(1, "a/b").uint32, 4))
  })

  it("does not repeat a block far out, where the counter needs its second word", () => {
    const stream = philoxStream(1, "a")
    expect(stream.uint32(4 * 2 ** 32)).not.toBe(stream.uint32(0))
    expect(stream.uint32(4 * 2 ** 32 + 1)).not.toBe(stream.uint32(1))
  })

  it("is uniform: χ² over 100 bins", () => {
    const bins = Array.from({ length: 100 }, () => 0)
    for (const value of take(philoxStream(3, "uniform").uniform)) bins[Math.floor(value * 100)]! += 1
    const chi2 = bins.reduce((sum, count) => sum + (count - COUNT / 100) ** 2 / (COUNT / 100), 0)
    // 99 degrees of freedom: 99 % of draws lie between 66.5 and 139.
    expect(chi2).toBeGreaterThan(66.5)
    expect(chi2).toBeLessThan(139)
  })

  it("has uncorrelated neighbours and uncorrelated names", () => {
    const [a, b] = [take(philoxStream(3, "a").uniform), take(philoxStream(3, "b").uniform)]
    const correlation = (x: ReadonlyArray<number>, y: ReadonlyArray<number>) =>
      12 * mean(x.map((value, i) => (value - 0.5) * (y[i]! - 0.5)))
    // Standard error 1/√20000 = 0.007; four of them.
    expect(Math.abs(correlation(a, b))).toBeLessThan(0.028)
    expect(Math.abs(correlation(a, [...a.slice(1), a[0]!]))).toBeLessThan(0.028)
  })

  it("has normal numbers of mean 0, variance 1, skewness 0, kurtosis 3", () => {
    const values = take(philoxStream(3, "normal").normal)
    const moment = (power: number) => mean(values.map((value) => value ** power))
    // Four standard errors: √(1, 2, 15, 96)/√20000 each.
    expect(Math.abs(moment(1))).toBeLessThan(0.029)
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.04)
    expect(Math.abs(moment(3))).toBeLessThan(0.11)
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.28)
    expect(values.every(Number.isFinite)).toBe(true)
  })

  it.each([-1, 0.5, 2 ** 53, Number.NaN, Infinity])("refuses the seed %d", (seed) => {
    expect(() => philoxStream(seed, "a")).toThrow(InvalidSeed)
    expect(() => philoxStream(seed, "a")).toThrow(`seed ${seed} is not a whole number`)
  })
})
