import { Effect, Fiber } from "effect"
import { expect, it } from "vitest"
import { makeTurns, PIECE } from "./turns.ts"

const nextTurn = () => new Promise<void>((resume) => setImmediate(resume))

/** Starts workers that do so many pieces each; what they have done is in the list, by name. */
const work = (done: Array<string>, pieces: Readonly<Record<string, number>>) => {
  const turns = makeTurns()
  return Object.entries(pieces).map(([name, count]) =>
    Effect.runFork(
      Effect.gen(function* () {
        for (let piece = 0; piece < count; piece++) {
          yield* turns.take
          done.push(name)
          turns.spend(PIECE)
        }
      })
    )
  )
}

it("has no more done in a turn than two pieces, by all together", async () => {
  const done: Array<string> = []
  work(done, { a: 5, b: 5, c: 5 })
  let before = done.length
  expect(before).toBeLessThanOrEqual(2)
  while (done.length < 15) {
    await nextTurn()
    expect(done.length - before).toBeLessThanOrEqual(2)
    before = done.length
  }
})

it("serves all in the order in which they ask", async () => {
  const done: Array<string> = []
  work(done, { a: 4, b: 4, c: 4 })
  while (done.length < 12) await nextTurn()
  // whoever was first had two pieces before anybody waited
  expect(done.join("")).toBe("aaabcabcbcbc")
})

it("forgets who left", async () => {
  const done: Array<string> = []
  const [, left] = work(done, { a: 9, b: 9, c: 9 })
  await Effect.runPromise(Fiber.interrupt(left!))
  const had = done.filter((name) => name === "b").length
  while (done.filter((name) => name !== "b").length < 18) await nextTurn()
  expect(done.filter((name) => name === "b").length).toBe(had)
})

it("lets short work through at once", () => {
  const turns = makeTurns()
  let done = 0
  for (let i = 0; i < 100; i++) Effect.runSync(Effect.map(turns.take, () => (turns.spend(1000), done++)))
  expect(done).toBe(100)
})
