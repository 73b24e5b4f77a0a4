import { Schema } from "effect"
import type { GeneratedGroup, GenerationEvent, GenerationRequest, TokenEvent } from "../request.ts"
import { roomOf } from "../request-limits.ts"
import { type Choice, Completion, versionOf } from "./choice.ts"
import { type KnownLogProbs, knownLogProbs } from "./completion-body.ts"
import { finish } from "./finish-response.ts"
import { AnswerUnusable, gather, type Gathered, joined } from "./gathered.ts"
import type { KnownServer } from "./options.ts"

const decode = Schema.decodeUnknownSync(Completion)

/** An answer's JSON as what it stands for. Errors come with a status of success, too. @throws AnswerUnusable */
export const decodeCompletion = (value: unknown): Completion => {
  const error = errorOf(value)
  if (error !== undefined) throw new AnswerUnusable(`it broke off: ${errorText(error)}`)
  try {
    return decode(value)
  } catch (cause) {
    throw new AnswerUnusable(`it answered in no shape that is known: ${(cause as Error).message}`)
  }
}

/** OpenAI's `{ error }`, or `{ object: "error", message }`, as vLLM, SGLang and TensorRT-LLM have it in places. */
const errorOf = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return undefined
  if ("error" in value && value.error !== null) return value.error
  return "object" in value && value.object === "error" ? value : undefined
}

const errorText = (error: unknown): string => {
  const said = typeof error === "object" && error !== null && "message" in error ? error.message : error
  return (typeof said === "string" ? said : JSON.stringify(said)).slice(0, 500)
}

/** A group from a whole answer. @throws AnswerUnusable */
export const readGroup = (completion: Completion, request: GenerationRequest, options: KnownServer): GeneratedGroup => {
  const { promptIds, promptLogProbs = false, samples = 1 } = request
  const version = versionOf(completion)
  const known = knownLogProbs(request, options)
  const choices = completion.choices
    .toSorted((a, b) => a.index - b.index)
    .map((choice) => withinRoom(choice, request, options))
  if (choices.length !== samples || choices.some(({ index }, i) => index !== i)) {
    const got = choices.map(({ index }) => index).join(", ")
    throw new AnswerUnusable(`it returned responses [${got}] where ${samples} were asked for`)
  }
  const gathered = choices.map((choice) =>
    gather(choice, request, known, promptLogProbs ? promptIds.length : 0, version)
  )
  for (const one of gathered) check(one, 0, request, options)
  const responses = choices.map((choice, i) => finish(choice, gathered[i]!, request, options))
  return { promptIds, responses, prompt: gathered[0]!.prompt }
}

/** vLLM draws a token to score a prompt, though none was asked for, and gives its id without its log-prob. */
const withinRoom = (choice: Choice, request: GenerationRequest, { contextTokens }: KnownServer): Choice =>
  roomOf(request, contextTokens) > 0 ? choice : { ...choice, token_ids: [] }

/** Events of a streamed answer, chunk by chunk. */
export interface StreamReader {
  /** @throws AnswerUnusable */
  readonly read: (completion: Completion) => ReadonlyArray<GenerationEvent>
  /** Whether every response has ended. */
  readonly whole: () => boolean
}

/** What has come of a response; appended to in place, as a long one comes in as many parts as it has tokens. */
interface Received {
  readonly parts: Array<Gathered>
  tokens: number
}

export const streamReader = (request: GenerationRequest, options: KnownServer): StreamReader => {
  const { samples = 1 } = request
  const received = new Map<number, Received>()
  const known = knownLogProbs(request, options)
  const done = new Set<number>()
  let promptSeen = false
  const readChoice = (choice: Choice, version: number | undefined): ReadonlyArray<GenerationEvent> => {
    if (choice.index < 0 || choice.index >= samples) throw new AnswerUnusable(`it streams a response ${choice.index}`)
    const own = received.get(choice.index) ?? { parts: [], tokens: 0 }
    const part = gatherPart(withinRoom(choice, request, options), request, known, own.parts.length === 0, version)
    if (done.has(choice.index)) throw new AnswerUnusable(`it goes on with response ${choice.index} after its end`)
    check(part, own.tokens, request, options)
    const opening: ReadonlyArray<GenerationEvent> =
      part.prompt === undefined || promptSeen ? [] : [{ _tag: "Prompt", prompt: part.prompt }]
    promptSeen ||= part.prompt !== undefined
    const events = [...opening, ...tokenEvents(choice.index, part, own.tokens)]
    received.set(choice.index, own)
    own.parts.push(part)
    own.tokens += part.ids.length
    if (choice.finish_reason === undefined || choice.finish_reason === null) return events
    done.add(choice.index)
    const response = finish(choice, joined(own.parts), request, options)
    return [...events, { _tag: "Finished", response }]
  }
  return {
    read: (completion) => completion.choices.flatMap((choice) => readChoice(choice, versionOf(completion))),
    whole: () => done.size === samples
  }
}

/** The first part of a choice repeats the prompt, where it is echoed. */
const gatherPart = (
  choice: Choice,
  request: GenerationRequest,
  known: KnownLogProbs,
  first: boolean,
  version: number | undefined
): Gathered => {
  const echoed = first && request.promptLogProbs === true ? request.promptIds.length : 0
  const wordless = choice.token_ids?.length === 0 || (choice.token_ids == null && (choice.text ?? "") === "")
  const empty = echoed === 0 && wordless && choice.logprobs == null
  const whole = empty ? { ...choice, token_ids: [], logprobs: { token_logprobs: [] } } : choice
  const opening = echoed > 0 && choice.token_ids == null ? { ...whole, token_ids: [] } : whole
  return gather(opening, request, known, echoed, version)
}

/** @param start tokens of the response that came before */
const tokenEvents = (sample: number, part: Gathered, start: number): ReadonlyArray<TokenEvent> =>
  part.ids.map((id, t) => ({
    _tag: "Token",
    sample,
    index: start + t,
    id,
    samplingLogProb: part.samplingLogProbs[t]!,
    policyLogProb: part.policyLogProbs[t]!,
    policyVersion: part.policyVersions[t]!,
    topLogProbs: part.top[t]!
  }))

/** Tokens that cannot be what was asked for. @param before tokens of the same response that came earlier */
const check = (
  { ids, policyVersions }: Gathered,
  before: number,
  { sampling }: GenerationRequest,
  { expectedVersion, vocabulary }: KnownServer
): void => {
  const length = before + ids.length
  if (length > sampling.maxNewTokens) {
    throw new AnswerUnusable(`it returned ${length} tokens where at most ${sampling.maxNewTokens} were asked for`)
  }
  const unknown = ids.find((id) => id < 0 || id >= vocabulary)
  if (unknown !== undefined) {
    throw new AnswerUnusable(`it returned token id ${unknown}, outside the vocabulary of ${vocabulary}`)
  }
  const wanted = expectedVersion?.()
  const stale = wanted === undefined ? undefined : policyVersions.find((one) => one >= 0 && one < wanted)
  if (stale !== undefined) throw new AnswerUnusable(`its weights are of version ${stale}, older than ${wanted}`)
}
