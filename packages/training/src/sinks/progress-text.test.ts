import { assert, describe, it } from "vitest"
import { clipText, formatCount, formatDuration, formatMetric, progressBar, renderLine } from "./progress-text.ts"

const table = <A>(format: (value: number) => A, cases: ReadonlyArray<readonly [number, A]>) => {
  for (const [value, expected] of cases) assert.strictEqual(format(value), expected, String(value))
}

describe("formatDuration", () => {
  it("shows two units and carries into the larger one", () => {
    table(formatDuration, [
      [0, "0s"],
      [0.4, "0s"],
      [59.4, "59s"],
      [59.6, "1m00s"],
      [65, "1m05s"],
      [3599.4, "59m59s"],
      [3599.6, "1h00m"],
      [7 * 3600 + 5 * 60, "7h05m"],
      [86_399, "1d00h"], // 23 h 59 m 59 s is nearer to 24 h 00 m than to 23 h 59 m
      [3 * 86_400 + 4 * 3600, "3d04h"]
    ])
  })
})

describe("formatMetric", () => {
  it("shows four significant digits, powers of ten at the ends, integers as they are", () => {
    table(formatMetric, [
      [Math.LN2, "0.6931"],
      [-12.3456, "-12.35"],
      [1234.56, "1235"],
      [0.001, "0.001000"],
      [0.0001, "1.00e-4"],
      [123_456, "1.23e5"],
      [9999.97, "1.00e4"],
      [0, "0"],
      [538, "538"],
      [Number.NaN, "NaN"],
      [Number.NEGATIVE_INFINITY, "-Infinity"]
    ])
  })
})

describe("formatCount", () => {
  it("keeps three significant digits across the thousands", () => {
    table(formatCount, [
      [0, "0.00"],
      [9.994, "9.99"],
      [9.996, "10.0"],
      [950, "950"],
      [999.6, "1.00k"],
      [1234, "1.23k"],
      [48_000, "48.0k"],
      [1_200_000, "1.20M"],
      [7e13, "70000G"]
    ])
  })
})

describe("progressBar", () => {
  it("fills in eighths of a column and is always as wide as asked", () => {
    assert.strictEqual(progressBar(0, 4), "    ")
    assert.strictEqual(progressBar(1, 4), "████")
    // 0.40625 · 4 columns = 13 eighths: one whole column and five eighths.
    assert.strictEqual(progressBar(0.40625, 4), "█▋  ")
    assert.strictEqual(progressBar(-1, 2), "  ")
    assert.strictEqual(progressBar(2, 2), "██")
  })
})

describe("clipText and renderLine", () => {
  it("clips to columns, marking the cut", () => {
    assert.strictEqual(clipText("abcdef", 6), "abcdef")
    assert.strictEqual(clipText("abcdef", 4), "abc…")
    assert.strictEqual(clipText("abcdef", 0), "")
    assert.strictEqual(clipText("β→π", 2), "β…")
  })

  it("clips segments together and keeps escape codes out of the count", () => {
    const segments = [
      { text: "sft", style: "bold" as const },
      { text: " 12/40" },
      { text: "  eta", style: "dim" as const }
    ]
    assert.strictEqual(renderLine(segments, 40, false), "sft 12/40  eta")
    assert.strictEqual(renderLine(segments, 8, false), "sft 12/…")
    assert.strictEqual(renderLine(segments, 8, true), "\u001b[1msft\u001b[0m 12/…")
  })
})
