import { expect, it } from "vitest"
import { draftLookup } from "./draft-lookup.ts"
import { rowDrafts } from "./row-drafts.ts"

const after = (tokens: ReadonlyArray<number>, count: number, vocabulary = 1000) => {
  const lookup = draftLookup(vocabulary)
  for (const token of tokens) lookup.push(token)
  expect(lookup.length()).toBe(tokens.length)
  return lookup.draft(count)
}

it.each([
  ["nothing is known", [], []],
  ["one token is known", [5], []],
  ["the last two never stood together before", [1, 2, 3, 2, 1], []],
  ["they did", [1, 2, 3, 4, 9, 1, 2], [3, 4, 9]],
  ["they did at two places, alike", [1, 2, 3, 8, 1, 2, 4, 8, 7, 1, 2], [4, 8, 7]],
  ["more of the text is that of the earlier place", [6, 1, 2, 3, 8, 1, 2, 4, 6, 1, 2], [3, 8, 1]],
  ["the text ends where what follows ends", [1, 2, 1, 2], [1, 2, 1]],
  ["one token is repeated", [7, 4, 4, 4], [4, 4, 4]]
])("drafts what came next before, where %s", (_, tokens, draft) => {
  expect(after(tokens, 3)).toEqual(draft)
})

it("tells pairs apart whose sums and products are alike", () => {
  expect(after([1, 2, 5, 2, 1], 1, 10)).toEqual([])
  expect(after([0, 999_999, 5, 0, 999_999], 1, 1_000_000)).toEqual([5])
})

it("looks at the eight last places only", () => {
  const far = [6, 1, 2, 3]
  const near = Array.from({ length: 8 }, (_, i) => [20 + i, 1, 2, 30 + i]).flat()
  expect(after([...far, ...near.slice(4), 6, 1, 2], 1)).toEqual([3])
  expect(after([...far, ...near, 6, 1, 2], 1)).toEqual([37])
})

it("drafts twice as much after what was right, half after what was wrong, and pauses after nothing right", () => {
  const drafts = rowDrafts(100)
  const promptIds = Int32Array.from([1, 2, 3, 1, 2])
  const next = (most = 100) => drafts.next(promptIds, [3, 1, 2], most).length
  const lengths = [next()]
  drafts.learn(3, 3)
  lengths.push(next())
  drafts.learn(7, 7)
  lengths.push(next(), next(2))
  drafts.learn(15, 15)
  lengths.push(next())
  drafts.learn(4, 15)
  lengths.push(next())
  expect(lengths).toEqual([3, 7, 15, 2, 15, 7])
  const pauses = Array.from({ length: 9 }, () => {
    drafts.learn(0, 1)
    let pause = 0
    while (next() === 0) pause += 1
    return pause
  })
  expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64])
  drafts.learn(1, 1)
  expect(next()).toBe(3)
  drafts.learn(0, 3)
  expect([next(), next()]).toEqual([0, 1])
})

it("goes on from what the response has since", () => {
  const drafts = rowDrafts(100)
  const promptIds = Int32Array.of(1, 2, 3)
  expect(drafts.next(promptIds, [], 3)).toEqual([])
  expect(drafts.next(promptIds, [9, 1, 2], 3)).toEqual([3, 9, 1])
  expect(drafts.next(promptIds, [9, 1, 2, 7, 1, 2], 3)).toEqual([7, 1, 2])
})
