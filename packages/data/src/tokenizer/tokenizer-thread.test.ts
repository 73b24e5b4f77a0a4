import { Effect, Exit } from "effect"
import { expect, it } from "vitest"
import { tokenizeJudged, tokenizePrompt } from "../tokenise/completion.ts"
import { byteTokenizer } from "./byte-tokenizer.ts"
import { tokenizerThread, type TokenizerThread } from "./tokenizer-thread.ts"
import { trainByteLevelBpe } from "./train-bpe.ts"
import { testTokenizer } from "../testing/index.ts"

const using = <A>(speaks: typeof testTokenizer, run: (thread: TokenizerThread) => Effect.Effect<A, unknown>) =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(tokenizerThread(speaks), run)))

/** Longer than what is tokenized where it is asked. */
const LONG = "é long text. ".repeat(20_000)

it("gives the ids that the tokenizer gives, of short texts and of long ones", async () => {
  const trained = trainByteLevelBpe([LONG.slice(0, 100)], { vocabSize: 300, specials: ["<s>"], bos: "<s>" })
  for (const speaks of [testTokenizer, trained]) {
    await using(speaks, (thread) =>
      Effect.gen(function* () {
        for (const text of ["short", LONG]) {
          expect((yield* thread.prompt(text)).join()).toBe(tokenizePrompt(speaks, text).join())
          const record = { kind: "completion", prompt: text, completion: "yes" } as const
          expect((yield* thread.judged(record)).join()).toBe(tokenizeJudged(speaks, record).join())
          expect((yield* thread.part(text)).join()).toBe(speaks.encode(text, { addSpecialTokens: false }).join())
        }
      })
    )
  }
  const chat = [{ role: "user", content: LONG }]
  const ids = await using(testTokenizer, ({ prompt }) => prompt(chat))
  expect(ids.join()).toBe(tokenizePrompt(testTokenizer, chat).join())
})

it("hands a template its variables, here and on the thread", async () => {
  const speaks = byteTokenizer({ specials: [], chatTemplate: "{{ messages[0].content }}{{ more }}" })
  await using(speaks, ({ prompt }) =>
    Effect.gen(function* () {
      for (const content of ["short", LONG]) {
        const ids = yield* prompt([{ role: "user", content }], { more: "!" })
        expect(speaks.decode(ids)).toBe(`${content}!`)
      }
    })
  )
})

it("leaves the event loop to others while a long text is tokenized", async () => {
  let turns = 0
  const clock = setInterval(() => turns++, 5)
  const spaces = trainByteLevelBpe(["a b"], { vocabSize: 257, specials: [] })
  const ids = await using(spaces, ({ prompt }) => prompt(" ".repeat(2_000_000)))
  clearInterval(clock)
  expect(ids.length).toBeGreaterThan(0)
  // of hundreds in the seconds that it takes
  expect(turns).toBeGreaterThan(20)
})

it("says what a template refuses, and goes on", async () => {
  const strict =
    "{% if messages[0].role != 'user' %}{{ raise_exception('begin with a user') }}{% endif %}{{ messages[0].content }}"
  await using(byteTokenizer({ specials: [], chatTemplate: strict }), ({ prompt }) =>
    Effect.gen(function* () {
      for (const content of ["short", LONG]) {
        const refused = yield* Effect.flip(prompt([{ role: "system", content }]))
        expect(refused).toMatchObject({ _tag: "ChatTemplateInvalid", reason: "begin with a user" })
        expect((yield* prompt([{ role: "user", content }])).length).toBeGreaterThan(0)
      }
    })
  )
})

it("leaves at once whatever the thread is at", async () => {
  const spaces = trainByteLevelBpe(["a b"], { vocabSize: 257, specials: [] })
  const since = performance.now()
  await using(spaces, ({ prompt }) => Effect.timeout(Effect.exit(prompt(" ".repeat(20_000_000))), 500)).catch(() => {})
  expect(performance.now() - since).toBeLessThan(5000)
})

it("answers whoever still asks after others have left", async () => {
  await using(testTokenizer, ({ prompt }) =>
    Effect.gen(function* () {
      const left = yield* Effect.exit(Effect.timeout(Effect.all([prompt(LONG), prompt(LONG)]), 1))
      expect(Exit.isFailure(left)).toBe(true)
      expect((yield* prompt(`${LONG}!`)).at(-1)).toBe("!".charCodeAt(0))
    })
  )
})
