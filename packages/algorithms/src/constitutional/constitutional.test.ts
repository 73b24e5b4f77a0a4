import { type Message, Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type GenerationRequest, Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { aiPreferences } from "./ai-preferences.ts"
import { loadPreferencePrinciples, loadPrinciples } from "./constitution.ts"
import { critiqueAndRevise } from "./critique-revision.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-constitution-"))

/** A model that says what `reply` makes of all it has read. */
const model = (reply: (read: string, request: GenerationRequest) => string) => {
  const seen: Array<{ readonly read: string; readonly seed: number }> = []
  const generate = (requests: ReadonlyArray<GenerationRequest>) =>
    Effect.succeed(
      requests.map((request) => {
        const read = testTokenizer.decode(request.promptIds)
        seen.push({ read, seed: request.seed })
        const responseIds = testTokenizer.encode(reply(read, request), { addSpecialTokens: false })
        return {
          promptIds: request.promptIds,
          responses: [{ responseIds, finishReason: "stop", stop: undefined }],
          prompt: undefined
        }
      })
    )
  return { seen, shape: { generate } as unknown as GeneratorShape }
}

const run = <A, E>(effect: Effect.Effect<A, E, Generator | Tokenizer>, shape: GeneratorShape): Promise<A> =>
  Effect.runPromise(
    effect.pipe(
      Effect.provideService(Generator, shape),
      Effect.provideService(Tokenizer, testTokenizer)
    ) as Effect.Effect<A, E>
  )

const question = (content: string): ReadonlyArray<Message> => [{ role: "user", content }]
const prompts = [
  { number: 4, messages: question("How?") },
  { number: 9, messages: question("Why?") }
]
const principles = [
  { critique: "What is rude?", revision: "Say it politely." },
  { critique: "What is false?", revision: "Say it truly." }
]

describe("critique and revision", () => {
  const polite = () =>
    model((read) => {
      if (/politely|truly/.test(read)) return `better ${/(How|Why)/.exec(read)![1]}`
      return /rude|false/.test(read) ? "all of it" : "bad"
    })

  it("asks for an answer, its faults and another answer, each with all that was said before", async () => {
    const { seen, shape } = polite()
    const made = await run(critiqueAndRevise(prompts, principles, { seed: 2, sampling: {} }), shape)
    expect(made.map(({ critique, response, revision }) => [response, critique, revision])).toEqual([
      ["bad", "all of it", "better How"],
      ["bad", "all of it", "better Why"]
    ])
    expect(seen.length).toBe(6)
    const { critique, revision } = made[0]!.principle
    expect(seen[4]!.read).toMatch(new RegExp(`How\\?[^]*bad[^]*${critique.slice(0, -1)}[^]*all of it[^]*${revision}`))
    expect(new Set(seen.map(({ seed }) => seed)).size).toBe(6)
  })

  it("makes of a prompt what it is made of alone", async () => {
    const both = await run(critiqueAndRevise(prompts, principles, { seed: 2, sampling: {} }), polite().shape)
    const { seen, shape } = polite()
    const alone = await run(critiqueAndRevise(prompts.slice(1), principles, { seed: 2, sampling: {} }), shape)
    expect(alone).toEqual(both.slice(1))
    const together = polite()
    await run(critiqueAndRevise(prompts, principles, { seed: 2, sampling: {} }), together.shape)
    expect(seen.map(({ seed }) => seed)).toEqual(together.seen.filter((_, i) => i % 2 === 1).map(({ seed }) => seed))
  })

  it("makes nothing of a prompt whose revision is empty", async () => {
    const silent = model((read) => (/politely|truly/.test(read) && read.includes("How") ? "" : "said"))
    const made = await run(critiqueAndRevise(prompts, principles, { seed: 2, sampling: {} }), silent.shape)
    expect(made.map(({ number }) => number)).toEqual([9])
  })

  it("draws every principle for some prompt", async () => {
    const many = Array.from({ length: 40 }, (_, number) => ({ number, messages: question("How?") }))
    const made = await run(critiqueAndRevise(many, principles, { seed: 2, sampling: {} }), polite().shape)
    expect(new Set(made.map(({ principle }) => principle.critique)).size).toBe(2)
  })
})

describe("preferences by a constitution", () => {
  const temperatures = [0, 0.5, 1]
  const writer = model((_, { sampling: { temperature } }) => ["cold", "mild", "hot"][temperature * 2]!)
  /** Prefers what comes later in the alphabet, whatever the order; cannot be read about why. */
  const judge = model((read) => {
    if (read.includes("Why?")) return "hm"
    const [a, b] = ["A", "B"].map((side) => new RegExp(`Response ${side}\\]\n(\\w*)`).exec(read)![1]!)
    return a! > b! ? "[[A]]" : "[[B]]"
  })

  it("are the best against the worst candidate, and none where the judge cannot be read", async () => {
    const options = { seed: 1, sampling: {}, temperatures, judge: judge.shape }
    const made = await run(aiPreferences(prompts, ["Be kind."], options), writer.shape)
    expect(made).toEqual([{ ...prompts[0], chosen: "mild", rejected: "cold", chosenShare: 1, rejectedShare: 0 }])
    expect(judge.seen.every(({ read }) => read.includes("follows this principle better? Be kind."))).toBe(true)
  })

  it("have no empty side", async () => {
    const quiet = model((_, { sampling: { temperature } }) => ["", "mild", "hot"][temperature * 2]!)
    const options = { seed: 1, sampling: {}, temperatures, judge: judge.shape }
    const [pair] = await run(aiPreferences(prompts, ["Be kind."], options), quiet.shape)
    expect([pair?.chosen, pair?.rejected]).toEqual(["mild", "hot"])
  })

  it("are none where a judge likes only the place", async () => {
    const first = model(() => "[[A]]")
    const options = { seed: 1, sampling: {}, temperatures, judge: first.shape }
    expect(await run(aiPreferences(prompts, ["Be kind."], options), writer.shape)).toEqual([])
  })
})

describe("a constitution file", () => {
  it("has requests to critique and to revise, or principles, and names the row that lacks one", async () => {
    const file = join(folder, "constitution.jsonl")
    writeFileSync(file, [...principles, { critique: "What?" }].map((row) => JSON.stringify(row)).join("\n"))
    const error = await Effect.runPromise(Effect.flip(loadPrinciples(file)))
    expect(error.message).toMatch(/line 3: field "revision": missing/)
    writeFileSync(file, JSON.stringify({ principle: "Be kind." }))
    expect(await Effect.runPromise(loadPreferencePrinciples(file))).toEqual(["Be kind."])
  })
})
