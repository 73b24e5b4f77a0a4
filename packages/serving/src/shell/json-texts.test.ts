import { expect, it } from "vitest"
import { jsonTexts, lazyMap, LazyList } from "./json-texts.ts"

const values: ReadonlyArray<readonly [name: string, value: unknown]> = [
  ["numbers and texts", { a: 1.5e-7, b: "ü\n\u2028\ud800", c: null, d: true, 7: -0 }],
  ["what JSON has no word for", { a: undefined, b: NaN, c: [undefined, Infinity], d: lazyMap([NaN, 1], (x) => x) }],
  ["nothing", { a: {}, b: [], c: lazyMap([], (x) => x), d: { e: undefined, f: lazyMap([], (x) => x) } }],
  ["lists in lists", { a: lazyMap([1, 2, 3], (n) => lazyMap("x".repeat(n), (x) => x)), b: 1 }],
  ["objects with lists", { a: lazyMap([1, 2], (n) => ({ n, b: { c: lazyMap([n], (x) => ({ x })) }, d: [n] })) }],
  ["lists in arrays", { a: [{ b: lazyMap([1, 2], (x) => x) }] }],
  ["many elements", lazyMap("é".repeat(5000), (x) => x)]
]

it.each(values)("writes %s as JSON.stringify does", (_, value) => {
  expect([...jsonTexts(value)].join("")).toBe(JSON.stringify(value))
})

it("makes elements as they are asked for", () => {
  let made = 0
  const list = new LazyList(function* () {
    for (;;) yield { made: made++, text: "x".repeat(5000) }
  })
  const texts = jsonTexts({ before: 1, list })
  for (let i = 0; i < 5; i++) texts.next()
  expect(made).toBeLessThanOrEqual(5)
})
