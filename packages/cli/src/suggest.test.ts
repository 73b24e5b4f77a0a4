import { describe, expect, it } from "vitest"
import { editDistance, nearest, suggestion } from "./suggest.ts"

describe("editDistance", () => {
  it.each([
    ["", "abc", 3],
    ["kitten", "sitting", 3], // two substitutions and an insertion: Wagner & Fischer's textbook pair
    ["leanring", "learning", 1], // one swap of neighbours, two edits without swaps
    ["ca", "abc", 3] // optimal string alignment edits no place twice; unrestricted Damerau-Levenshtein would say 2
  ])("%j to %j takes %i", (a, b, edits) => expect(editDistance(a, b)).toBe(edits))
})

const flags = ["learning-rate", "lr-schedule", "batch-size", "beta", "alpha", "max-steps", "max-length"]

describe("nearest", () => {
  it.each([
    ["lerning-rate", "learning-rate"],
    ["batchSize", "batch-size"],
    ["batch_size", "batch-size"],
    ["bta", "beta"],
    ["learning", "learning-rate"], // the only one that begins so
    ["lr", "lr-schedule"]
  ])("takes %s for %s", (written, meant) => expect(nearest(written, flags)).toBe(meant))

  it.each(["foo", "max", "temperature", "x"])("takes %s for nothing", (written) =>
    expect(nearest(written, flags)).toBeUndefined()
  )

  it("says so in the words of a message, or says nothing", () => {
    expect(suggestion("bta", flags, "--")).toBe("; did you mean --beta?")
    expect(suggestion("foo", flags, "--")).toBe("")
  })
})
