import { assert, describe, it } from "vitest"
import { editDistance, nearestNames } from "./nearest-names.ts"

describe("editDistance", () => {
  it("counts insertions, deletions and substitutions", () => {
    // kitten → sitten → sittin → sitting: the textbook three.
    assert.strictEqual(editDistance("kitten", "sitting"), 3)
    assert.strictEqual(editDistance("", "abc"), 3)
    assert.strictEqual(editDistance("abc", ""), 3)
    assert.strictEqual(editDistance("dpo", "dpo"), 0)
  })
})

describe("nearestNames", () => {
  it("puts the nearest first, without repeats, and keeps to the limit", () => {
    assert.deepStrictEqual(nearestNames("SFT-gsm", ["dpo-gsm8k", "sft-gsm8k", "sft-gsm8k", "grpo"], 2), [
      "sft-gsm8k",
      "dpo-gsm8k"
    ])
  })
})
