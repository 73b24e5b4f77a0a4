import { roomOf } from "../request-limits.ts"
import type { GeneratedResponse, GenerationRequest, StopMatch } from "../request.ts"
import type { Choice } from "./choice.ts"
import { AnswerUnusable, type Gathered } from "./gathered.ts"
import type { KnownServer } from "./options.ts"

/** A whole response. @throws AnswerUnusable where it is empty, broke off, or is not what was asked for */
export const finish = (
  choice: Choice,
  gathered: Gathered,
  request: GenerationRequest,
  { contextTokens }: Pick<KnownServer, "contextTokens">
): GeneratedResponse => {
  const { ids, policyLogProbs, policyVersions, samplingLogProbs, top } = gathered
  const said = choice.finish_reason
  if (said !== "stop" && said !== "length") {
    throw new AnswerUnusable(`it ended a response with finish_reason ${JSON.stringify(said ?? null)}`)
  }
  // SGLang looks at the length first: the last token that there is room for may be a stop token all the same
  const reason = request.sampling.stopIds.includes(ids.at(-1) ?? -1) ? "stop" : said
  const room = roomOf(request, contextTokens)
  if (ids.length === 0 && room > 0) throw new AnswerUnusable("it returned an empty response")
  const stop = reason === "stop" ? stopOf(choice, ids) : undefined
  checkWishes(ids, stop, room, request)
  return {
    sample: choice.index,
    responseIds: Int32Array.from(ids),
    samplingLogProbs: Float32Array.from(samplingLogProbs),
    policyLogProbs: Float32Array.from(policyLogProbs),
    policyVersions: Int32Array.from(policyVersions),
    finishReason: reason,
    stop,
    topLogProbs: (request.topLogProbs ?? 0) > 0 ? top : undefined
  }
}

/** Servers ignore fields that they do not know. */
const checkWishes = (
  ids: ReadonlyArray<number>,
  stop: StopMatch | undefined,
  room: number,
  { sampling: { allowedTokens, minNewTokens, stopIds, stopStrings } }: GenerationRequest
): void => {
  const allowed = allowedTokens === undefined ? undefined : new Set(allowedTokens)
  const foreign = allowed === undefined ? undefined : ids.find((id) => !allowed.has(id))
  if (foreign !== undefined) throw new AnswerUnusable(`it returned token id ${foreign}, which allowedTokens has not`)
  const ending = new Set(stopIds)
  const passed = ids.slice(0, -1).find((id) => ending.has(id))
  if (passed !== undefined) throw new AnswerUnusable(`it went on after token id ${passed}, one of the stopIds`)
  if (stop === undefined) return
  const least = Math.min(minNewTokens, room)
  if (ids.length < least) {
    throw new AnswerUnusable(`it stopped after ${ids.length} tokens where minNewTokens was ${least}`)
  }
  const strange = stop.kind === "id" ? strangeId(stop.id, ids, stopIds) : strangeString(stop.text, stopStrings)
  if (strange !== undefined) throw new AnswerUnusable(strange)
}

const strangeId = (id: number, ids: ReadonlyArray<number>, stopIds: ReadonlyArray<number>): string | undefined => {
  if (id !== ids.at(-1)) {
    return `it stopped at token id ${id} and leaves it out; set tokenIdFields to what makes this server return it`
  }
  return stopIds.includes(id)
    ? undefined
    : `it stopped at token id ${id}, none of the stopIds: its own end token must be one of them, and come back`
}

const strangeString = (text: string, stopStrings: ReadonlyArray<string>): string | undefined =>
  stopStrings.includes(text) ? undefined : `it was stopped by ${JSON.stringify(text)}, which is none of the stopStrings`

/** What the server says stopped it; one that says nothing stopped at its EOS. */
const stopOf = (choice: Choice, ids: ReadonlyArray<number>): StopMatch | undefined => {
  const said = choice.stop_reason ?? choice.matched_stop
  if (typeof said === "string") return { kind: "string", text: said }
  const id = said ?? ids.at(-1)
  return id === undefined ? undefined : { kind: "id", id }
}
