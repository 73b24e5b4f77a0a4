import { assert, describe, it } from "vitest"
import { clipToWidth, displayWidth, textTable } from "./table.ts"

describe("displayWidth", () => {
  it("counts columns, not code units", () => {
    assert.strictEqual(displayWidth("loss"), 4)
    assert.strictEqual(displayWidth("日本語"), 6)
    assert.strictEqual(displayWidth("🙂"), 2)
    assert.strictEqual(displayWidth("e\u0301"), 1)
  })
})

describe("clipToWidth", () => {
  it("marks the cut and never splits a wide character", () => {
    assert.strictEqual(clipToWidth("abcdef", 6), "abcdef")
    assert.strictEqual(clipToWidth("abcdef", 4), "abc…")
    assert.strictEqual(clipToWidth("日本語", 4), "日…")
    assert.strictEqual(clipToWidth("abc", 0), "")
  })
})

describe("textTable", () => {
  const columns = [{ title: "run" }, { title: "step", align: "right" as const }, { title: "response" }]

  it("aligns columns under their titles", () => {
    const rows = [
      ["sft", "5", "four"],
      ["日本", "1200", "4"]
    ]
    assert.strictEqual(textTable(columns, rows, 80), "run   step  response\nsft      5  four\n日本  1200  4")
  })

  it("cuts the widest column first, and never exceeds the width", () => {
    const rows = [["sft", "1200", "x".repeat(50)]]
    // 24 columns − 2 gaps of 2 = 20; "sft" and "1200" keep 7, 13 are left.
    assert.strictEqual(textTable(columns, rows, 24), `run  step  response\nsft  1200  ${"x".repeat(12)}…`)
    for (let width = 1; width < 60; width++) {
      for (const line of textTable(columns, rows, width).split("\n")) assert.isAtMost(displayWidth(line), width)
    }
  })

  it("keeps a cell on one line and its control characters from the terminal", () => {
    assert.strictEqual(textTable([{ title: "response" }], [["a\r\nb\tc\u001b[31m"]], 80), "response\na⏎b c·[31m")
  })

  it("prints only the titles without rows", () => {
    assert.strictEqual(textTable(columns, [], 80), "run  step  response")
  })
})
