import { describe, expect, it } from "@effect/vitest"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE, tokenizePrompt, trainByteLevelBpe } from "@plumbline/data"
import { Schema } from "effect"
import { samplingOptions } from "../sampling/options.ts"
import { type Script, scriptedGenerator } from "../testing/scripted-generator.ts"
import { agentLoop, type AgentOptions } from "./agent-loop.ts"
import { tool } from "./tool.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
const END = tokenizer.eosId!
const bytes = (text: string) => [...tokenizer.encode(text)]
const call = (name: string, given: unknown) => `<tool_call>${JSON.stringify({ name, arguments: given })}</tool_call>`

const Pair = Schema.Struct({ a: Schema.Finite, b: Schema.Finite })
const add = tool({
  name: "add",
  description: "adds",
  input: Pair,
  seconds: 5,
  run: ({ a, b }) => String(a + b)
})

/** The agent over a policy that says these things, one after the other. */
const play = async (
  says: ReadonlyArray<string | ReadonlyArray<number>>,
  options: Partial<AgentOptions> = {},
  script: Partial<Script> = {}
) => {
  let turn = 0
  const next = () => {
    const said = says[turn++]!
    return typeof said === "string" ? [...bytes(said), END] : said
  }
  const stop = { kind: "id", id: END } as const
  const generator = scriptedGenerator({ says: next, stop, vocabulary: 300, contextTokens: 2000, ...script })
  const result = await agentLoop(generator, {
    promptIds: tokenizePrompt(tokenizer, [{ role: "user", content: "2 + 3?" }]),
    seed: 1,
    sampling: samplingOptions({ maxNewTokens: 400 }),
    tokenizer,
    tools: [add],
    ...options
  })
  return { ...result, requests: generator.requests }
}

const told = (...outputs: ReadonlyArray<string>) =>
  bytes("\n" + outputs.map((text) => `<|im_start|>tool\n${text}<|im_end|>\n`).join("") + "<|im_start|>assistant\n")

/** The outputs of the first response's calls, as the policy is told of them. */
const outputsOf = ({ turns }: Awaited<ReturnType<typeof play>>) => turns[0]!.calls.map(({ outcome }) => outcome)

describe("an agent", () => {
  it("writes down exactly what was sampled and what was put between, and counts only the former", async () => {
    // bytes of no character, and a text that encoding would not give back
    const first = [0xff, 0xc3, ...bytes(call("add", { a: 2, b: 3 })), END]
    const last = [...bytes("It is 5"), 0xe2, 0x82, END]
    const { end, requests, transcript, turns } = await play([first, last])
    const prompt = [...requests[0]!.promptIds]
    const parts: ReadonlyArray<readonly [ids: ReadonlyArray<number>, sampled: 0 | 1]> = [
      [prompt, 0],
      [first, 1],
      [told("5"), 0],
      [last, 1]
    ]
    expect(end).toBe("answered")
    expect([...transcript.ids]).toEqual(parts.flatMap(([ids]) => ids))
    expect([...transcript.lossMask]).toEqual(parts.flatMap(([ids, sampled]) => ids.map(() => sampled)))
    expect([...requests[1]!.promptIds]).toEqual([...prompt, ...first, ...told("5")])
    // the scripted policy: token id has log-prob −id/100, and −id/50 as it was drawn
    const all = parts.flatMap(([ids, sampled]) => ids.map((id) => ({ id, sampled })))
    expect(transcript.policyLogProbs).toEqual(
      Float32Array.from(all, ({ id, sampled }) => (sampled === 1 ? -id / 100 : 0))
    )
    expect(transcript.samplingLogProbs).toEqual(
      Float32Array.from(all, ({ id, sampled }) => (sampled === 1 ? -id / 50 : 0))
    )
    expect([...transcript.policyVersions]).toEqual(all.map(({ sampled }) => (sampled === 1 ? 7 : -1)))
    expect(turns.map(({ calls }) => calls.length)).toEqual([1, 0])
  })

  it("gives each response a stream of its own, by the seed alone", async () => {
    const [one, again, other] = await Promise.all([1, 1, 2].map((seed) => play([call("add", {}), "."], { seed })))
    const seeds = ({ requests }: Awaited<ReturnType<typeof play>>) => requests.map(({ seed }) => seed)
    expect(seeds(one!)).toEqual(seeds(again!))
    expect(new Set([...seeds(one!), ...seeds(other!)]).size).toBe(4)
  })

  it("puts the end of a turn in where the policy stopped without it", async () => {
    const said = bytes(call("add", { a: 1, b: 1 }))
    const { transcript } = await play([said, "2"])
    const text = tokenizer.decode(transcript.ids)
    expect(text).toContain("</tool_call><|im_end|>\n<|im_start|>tool\n2<|im_end|>")
  })

  it("ends where the response is cut off, turns are used up, or the context is full", async () => {
    const asks = call("add", { a: 2, b: 3 })
    const cut = await play([asks], { sampling: samplingOptions({ maxNewTokens: asks.length }) })
    expect([cut.end, cut.turns[0]!.calls]).toEqual(["length", []])
    const stubborn = await play([asks, asks, asks], { maxTurns: 3 })
    expect([stubborn.end, stubborn.turns.map(({ calls }) => calls.length)]).toEqual(["turns", [1, 1, 0]])
    const prompt = stubborn.requests[0]!.promptIds.length
    const whole = prompt + asks.length + 1 + told("5").length
    const full = await play([asks, "5"], {}, { contextTokens: whole })
    expect([full.end, full.transcript.ids.length]).toEqual(["context", prompt + asks.length + 1])
    expect((await play([asks, "5"], {}, { contextTokens: whole + 1 })).turns).toHaveLength(2)
  })
})

it("an episode of which a later turn fails is kept up to there by whoever was told of its turns", async () => {
  const says = [call("add", { a: 2, b: 3 }), call("add", { a: 5, b: 1 })]
  const seen: Array<{ readonly outcomes: ReadonlyArray<unknown>; readonly tokens: number }> = []
  const onTurn: AgentOptions["onTurn"] = ({ calls }, soFar) =>
    seen.push({
      outcomes: calls.map(({ outcome }) => outcome),
      tokens: soFar().lossMask.filter((one) => one === 1).length
    })
  const ended = await play([...says, "."], { onTurn })
  const lengths = [says[0]!.length + 1, says[0]!.length + says[1]!.length + 2]
  const [five, six] = ["5", "6"].map((text) => [{ _tag: "Returned", text }])
  const told = [
    { outcomes: five, tokens: lengths[0] },
    { outcomes: six, tokens: lengths[1] }
  ]
  expect(seen).toEqual([...told, { outcomes: [], tokens: lengths[1]! + 2 }])
  expect(ended.turns).toHaveLength(3)
  seen.length = 0
  const failing = play([...says, "."], { onTurn }, { failsAt: 0, failsFrom: 2 })
  await expect(failing).rejects.toMatchObject({ _tag: "GeneratorFailed", reason: "out of script" })
  expect(seen).toEqual(told)
})

const reject = (): never => {
  throw new Error("no")
}

describe("tools", () => {
  it("run side by side, and answer in the order of the calls", async () => {
    const order: Array<string> = []
    const wait = tool({
      name: "wait",
      description: "",
      input: Schema.Struct({ ms: Schema.Finite }),
      seconds: 5,
      run: async ({ ms }) => {
        await new Promise((resume) => setTimeout(resume, ms))
        order.push(String(ms))
        return `waited ${ms}`
      }
    })
    const { transcript } = await play([call("wait", { ms: 40 }) + call("wait", { ms: 1 }), "."], { tools: [wait] })
    expect(order).toEqual(["1", "40"])
    expect(tokenizer.decode(transcript.ids)).toContain(tokenizer.decode(told("waited 40", "waited 1")))
  })

  it("that are not there, or are asked for what they do not take, do not run", async () => {
    const wrong = [call("sub", {}), call("add", { a: "2", b: 3 }), "<tool_call>add(2, 3)</tool_call>", call("add", {})]
    const result = await play([wrong.join("\n"), "."])
    expect(outputsOf(result).map(({ _tag }) => _tag)).toEqual(["Refused", "Refused", "Refused", "Refused"])
    expect(tokenizer.decode(result.transcript.ids)).toContain('error: there is no tool "sub"; there are: add')
    expect(outputsOf(result)[1]).toMatchObject({ reason: expect.stringMatching(/^a: /) as string })
    expect(outputsOf(result)[2]).toMatchObject({ reason: expect.stringContaining("must be JSON") as string })
  })

  it("that fail are told to the policy", async () => {
    const broken = tool({
      name: "broken",
      description: "",
      input: Schema.Struct({}),
      seconds: 5,
      run: () => {
        throw new Error("no such city")
      }
    })
    const result = await play([call("broken", {}), "."], { tools: [broken] })
    expect(outputsOf(result)).toEqual([{ _tag: "Failed", reason: "no such city" }])
  })

  it.each([
    ["throw what has no text", () => Promise.reject(Object.create(null) as Error), "it threw what has no text"],
    ["throw errors without a text", () => Promise.reject(new TypeError()), "TypeError"],
    [
      "throw errors whose name is no text",
      () => Promise.reject(Object.assign(new Error(), { name: Symbol("odd") as unknown as string })),
      "Symbol(odd)"
    ],
    [
      "throw errors whose text throws",
      () => Promise.reject(Object.defineProperty(new Error(), "message", { get: () => reject() })),
      "it threw what has no text"
    ],
    ["return no text", () => undefined as unknown as string, "it returned no text but undefined"]
  ])("that %s are, too", async (_, run, reason) => {
    const odd = tool({ name: "odd", description: "", input: Schema.Struct({}), seconds: 2, run })
    expect(outputsOf(await play([call("odd", {}), "."], { tools: [odd] }))).toEqual([{ _tag: "Failed", reason }])
  })

  it("whose schema throws are told, too", async () => {
    const input = Schema.Struct({}).check(Schema.makeFilter(() => reject()))
    const odd = tool({ name: "odd", description: "", input, seconds: 2, run: () => "" })
    expect(outputsOf(await play([call("odd", {}), "."], { tools: [odd] }))).toMatchObject([{ _tag: "Failed" }])
  })

  it("that take too long are left alone, with their signal aborted", async () => {
    let aborted = false
    const slow = tool({
      name: "slow",
      description: "",
      input: Schema.Struct({}),
      seconds: 0.05,
      // it does not listen
      run: (_, signal) => (signal.addEventListener("abort", () => (aborted = true)), new Promise<string>(() => {}))
    })
    const result = await play([call("slow", {}), "."], { tools: [slow] })
    expect(outputsOf(result)).toEqual([{ _tag: "TimedOut", seconds: 0.05 }])
    expect(aborted).toBe(true)
    expect(result.end).toBe("answered")
  })

  const saying = (text: string, maxCharacters?: number, error = false) =>
    tool({
      name: "say",
      description: "",
      input: Schema.Struct({}),
      seconds: 5,
      ...(maxCharacters !== undefined && { maxCharacters }),
      run: () => (error ? Promise.reject(new Error(text)) : text)
    })

  it("that say more than they may are told from their beginning, and that something is missing", async () => {
    const tools = [saying("abc😀def", 4)]
    const result = await play([call("say", {}), "."], { tools })
    // the emoji is two units, of which the bound would leave one
    expect(outputsOf(result)).toEqual([{ _tag: "Returned", text: "abc", cut: 5 }])
    expect([...result.transcript.ids]).toEqual([
      ...result.requests[0]!.promptIds,
      ...bytes(call("say", {})),
      END,
      ...told("abc\n[5 more characters were cut off]"),
      ...bytes("."),
      END
    ])
    const failed = await play([call("say", {}), "."], { tools: [saying("no such city", 7, true)] })
    expect(outputsOf(failed)).toEqual([{ _tag: "Failed", reason: "no such", cut: 5 }])
    const whole = await play([call("say", {}), "."], { tools: [saying("abc😀def", 8)] })
    expect(outputsOf(whole)).toEqual([{ _tag: "Returned", text: "abc😀def" }])
    const usual = await play([call("say", {}), "."], { tools: [saying("x".repeat(16_385))] }, { contextTokens: 20_000 })
    expect(outputsOf(usual)).toEqual([{ _tag: "Returned", text: "x".repeat(16_384), cut: 1 }])
    for (const most of [0, NaN]) expect(() => saying("", most)).toThrow("maxCharacters")
  })

  it.each([
    ["one, cut", [saying("é long text. ".repeat(1_500_000))], 1, "answered"],
    ["one, not cut", [saying("é long text. ".repeat(400_000), Infinity)], 1, "context"],
    ["many", [saying("é long text. ".repeat(2_000))], 200, "context"]
  ] as const)("that say very much keep nobody waiting: %s", async (_, tools, calls, end) => {
    const waits: Array<number> = []
    let last = performance.now()
    const clock = setInterval(() => {
      const now = performance.now()
      waits.push(now - last)
      last = now
    }, 5)
    const asks = call("say", {}).repeat(calls)
    const sampling = samplingOptions({ maxNewTokens: 20_000 })
    const result = await play([asks, "."], { tools, sampling }, { contextTokens: 1_000_000 })
    clearInterval(clock)
    expect(result.end).toBe(end)
    // tokenized here, the longer ones took seconds
    expect(Math.max(...waits)).toBeLessThan(400)
  })

  it("of many agents are tokenized on one thread, which ends with the last of them", async () => {
    let begun = 0
    const count = () => begun++
    process.on("worker", count)
    const together = async (agents: number) => {
      const tools = [saying("long ".repeat(5_000), Infinity)]
      const all = Array.from({ length: agents }, () =>
        play([call("say", {}), "."], { tools }, { contextTokens: 100_000 })
      )
      return (await Promise.all(all)).map(({ end }) => end)
    }
    expect(await together(4)).toEqual(["answered", "answered", "answered", "answered"])
    expect(begun).toBe(1)
    await together(1)
    expect(begun).toBe(2)
    process.off("worker", count)
  })

  it("whose words are being tokenized end with the loop that called them", async () => {
    const left = new AbortController()
    const spaces = trainByteLevelBpe(["a b"], {
      vocabSize: 300,
      specials: CHATML_SPECIALS,
      chatTemplate: CHATML_TEMPLATE
    })
    const since = performance.now()
    setTimeout(() => left.abort(new Error("enough")), 300)
    const generator = scriptedGenerator({
      says: () => [...spaces.encode(call("say", {}))],
      vocabulary: 300,
      contextTokens: 1e9
    })
    const playing = agentLoop(generator, {
      promptIds: Int32Array.of(1),
      seed: 1,
      sampling: samplingOptions({ maxNewTokens: 400 }),
      tokenizer: spaces,
      tools: [saying(" ".repeat(20_000_000), Infinity)],
      signal: left.signal
    })
    await expect(playing).rejects.toThrow("enough")
    expect(performance.now() - since).toBeLessThan(5000)
  })

  it("end with the loop that called them", async () => {
    const left = new AbortController()
    const listening = tool({
      name: "listening",
      description: "",
      input: Schema.Struct({}),
      seconds: 60,
      run: (_, signal) => {
        setTimeout(() => left.abort(new Error("enough")), 5)
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("told"))))
      }
    })
    const playing = play([call("listening", {}), "."], { tools: [listening], signal: left.signal })
    await expect(playing).rejects.toThrow("enough")
  })

  it("need a time limit, and names of their own", async () => {
    for (const seconds of [0, -1, NaN, Infinity]) {
      expect(() => tool({ name: "x", description: "", input: Pair, seconds, run: () => "" })).toThrow(RangeError)
    }
    await expect(play(["."], { tools: [add, add] })).rejects.toThrow(RangeError)
    // NaN turns would have no end
    for (const maxTurns of [0, NaN]) await expect(play(["."], { maxTurns })).rejects.toThrow(RangeError)
  })
})
