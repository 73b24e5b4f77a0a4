import { assert, describe, it } from "vitest"
import { type CurvePoint, lineChart, sparkline } from "./chart.ts"

const curve = (...values: ReadonlyArray<number>): ReadonlyArray<CurvePoint> =>
  values.map((value, index) => ({ step: index + 1, value }))

const lines = (points: ReadonlyArray<CurvePoint>, height: number, log = false, width = 40) =>
  lineChart(points, { title: "loss", width, height, log }).split("\n")

/** The tick labels, top to bottom. */
const ticks = (chart: ReadonlyArray<string>) =>
  chart.filter((line) => line.includes("┤")).map((line) => line.split("┤")[0]!.trim())

describe("lineChart", () => {
  it("draws a rising line from the lower left to the upper right", () => {
    // 4 rows of 4 dots, 13 − 3 = 10 columns of 2 dots: the ends are dots (0, 0) and (19, 15), U+2840 and U+2808.
    assert.deepStrictEqual(lines(curve(0, 1), 4, false, 13), [
      "loss",
      "min 0 at step 1 · max 1 at step 2 · last 1 at step 2",
      "1 ┤       ⢀⠤⠊",
      "  │     ⡠⠔⠁",
      "  │  ⢀⠔⠊",
      "0 ┤⡠⠒⠁",
      "  └──────────",
      "   1        2"
    ])
  })

  it("says least, greatest and last value with their steps", () => {
    const [title] = lines(curve(2.5, 0.125, 7, 1 / 3), 3, false, 80)
    assert.strictEqual(title, "loss: min 0.125 at step 2 · max 7 at step 3 · last 0.333333 at step 4")
  })

  it("labels round numbers that enclose the values", () => {
    assert.deepStrictEqual(ticks(lines(curve(0.32, 2.73), 9)), ["3", "2", "1", "0"])
    assert.deepStrictEqual(ticks(lines(curve(0.6899, 0.6938), 6)), ["0.694", "0.692", "0.690", "0.688"])
    assert.deepStrictEqual(ticks(lines(curve(-1e-9, -3e-9), 6)), ["-1e-9", "-2e-9", "-3e-9"])
    assert.deepStrictEqual(ticks(lines(curve(1.5e8, 4.5e8), 6)), ["6e8", "4e8", "2e8", "0"])
  })

  it("places a point by its step, not by its index", () => {
    const points = [
      { step: 0, value: 0 },
      { step: 90, value: 0 },
      { step: 100, value: 1 }
    ]
    const bottom = lines(points, 4, false, 43).at(-3)!
    // 80 dots in 40 columns are steps 0 to 100; step 90 is dot 71, the right half of the 36th column. From there the
    // line climbs 15 dots over the last 8: it leaves the bottom row in the next column.
    assert.match(bottom, /^0 ┤⣀{36}⠎$/)
  })

  it("shows one point, and a constant, in the middle of a range about it", () => {
    const single = lines([{ step: 5, value: 0.7 }], 5)
    assert.deepStrictEqual(ticks(single), ["0.8", "0.6"])
    assert.strictEqual(single.filter((line) => /[⠁-⣿]/.test(line)).length, 1)
    assert.strictEqual(single.at(-1)!.trim(), "5")
    const constant = lines(curve(0.001, 0.001, 0.001), 5)
    assert.deepStrictEqual(ticks(constant), ["0.0012", "0.0010", "0.0008"])
    assert.strictEqual(constant.filter((line) => /[⠁-⣿]/.test(line)).length, 1)
    assert.deepStrictEqual(ticks(lines(curve(0, 0), 5)), ["2", "0", "-2"])
  })

  it("makes equal factors equal distances on a log scale", () => {
    const chart = lines(curve(1, 0.1, 0.01, 0.001), 8, true)
    assert.deepStrictEqual(ticks(chart), ["1e0", "1e-1", "1e-2", "1e-3"])
    // A straight line: every column of the curve has dots in at most two rows, and rows follow each other.
    const rowOf = chart.slice(2, -2).map((line) => line.slice(5).search(/[⠁-⣿]/))
    assert.deepStrictEqual(
      rowOf,
      rowOf.toSorted((a, b) => a - b)
    )
    const inner = rowOf.slice(1).map((column, index) => column - rowOf[index]!)
    assert.isAtMost(Math.max(...inner) - Math.min(...inner), 1)
    assert.deepStrictEqual(ticks(lines(curve(0.32, 2.73), 9, true)), ["2", "1", "0.5"])
  })

  it("says how many values it cannot show", () => {
    const points = curve(1, 0, -2, Number.NaN, 10)
    assert.include(lines(points, 4, true)[0], "loss, log scale (3 not shown: zero, negative or not finite)")
    assert.include(lines(points, 4)[0], "loss (1 not shown: not finite)")
    assert.deepStrictEqual(lines(curve(0), 4, true), ["loss: no values (1 not shown: zero, negative or not finite)"])
    assert.deepStrictEqual(lines([], 4), ["loss: no values"])
  })

  it("draws values that differ by less than their ticks can tell", () => {
    // Seven float64 apart: the round numbers about them, computed in float64, do not quite enclose both.
    const chart = lines(curve(3, 3 + 7 * 2 ** -51, 3), 6)
    assert.strictEqual(chart.filter((line) => /[│┤]/.test(line)).length, 6)
  })

  it("keeps to the width and height it was given", () => {
    const points = Array.from({ length: 500 }, (_, step) => ({ step, value: Math.sin(step / 9) * 1e4 }))
    for (const [width, height] of [
      [80, 20],
      [20, 1],
      [60, 2]
    ] as const) {
      const chart = lines(points, height, false, width)
      const drawn = chart.slice(-height - 2)
      assert.strictEqual(chart.filter((line) => /[│┤]/.test(line)).length, height)
      for (const line of drawn) assert.isAtMost([...line].length, width)
    }
  })
})

describe("sparkline", () => {
  it("maps the range to eight blocks", () => {
    assert.strictEqual(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), "▁▂▃▄▅▆▇█")
    assert.strictEqual(sparkline([7, 0], 8), "█▁")
  })

  it("averages neighbours where there are more values than columns", () => {
    // Means of pairs: 0, 7, 3.5; 3.5 of 7 is dot round(3.5) = 4, the fifth block.
    assert.strictEqual(sparkline([-1, 1, 6, 8, 3, 4], 3), "▁█▅")
  })

  it("handles constants and nothing", () => {
    assert.strictEqual(sparkline([3, 3], 5), "▄▄")
    assert.strictEqual(sparkline([], 5), "")
    assert.strictEqual(sparkline([1, 2], 0), "")
  })
})
