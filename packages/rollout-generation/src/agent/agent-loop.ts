import type { TokenizerShape, TokenizerThread } from "@plumbline/data"
import type { GeneratorShape } from "../generator-shape.ts"
import type { GeneratedResponse } from "../request.ts"
import { type EpisodeOptions, openEpisode } from "./episode.ts"
import { withSharedThread } from "./shared-thread.ts"
import type { Tool, ToolOutcome } from "./tool.ts"
import { type MalformedCall, outcomeText, taggedCalls, type ToolCall } from "./tool-calls.ts"
import type { Transcript } from "./transcript.ts"
import { chatTurns, type TurnFormat } from "./turn-format.ts"

export interface AgentOptions extends EpisodeOptions {
  readonly tokenizer: TokenizerShape
  /** Tokenizes long outputs while others go on; when absent, one of all loops over this tokenizer, begun with the first long one. */
  readonly tokenizerThread?: TokenizerThread
  readonly tools: ReadonlyArray<Tool>
  /** Responses at most; 8 when absent. */
  readonly maxTurns?: number
  /** Finds the calls in a response's text; `taggedCalls` when absent. */
  readonly findCalls?: (text: string) => ReadonlyArray<ToolCall | MalformedCall>
  /** `chatTurns(tokenizer, tokenizerThread)` when absent. */
  readonly format?: TurnFormat
  /**
   * Told of each turn when its tools have answered: what is kept of an episode of which a later turn fails. `soFar` gives the
   * transcript up to the turn's response; what the tools answered is put in afterwards.
   */
  readonly onTurn?: (turn: AgentTurn, soFar: () => Transcript) => void
}

export interface AgentTurn {
  readonly response: GeneratedResponse
  /** Special tokens included. */
  readonly text: string
  readonly calls: ReadonlyArray<FinishedCall>
}

export interface FinishedCall {
  readonly call: ToolCall | MalformedCall
  readonly outcome: ToolOutcome
}

export interface AgentResult {
  readonly transcript: Transcript
  readonly turns: ReadonlyArray<AgentTurn>
  /**
   * `answered`: the last response calls nothing. `length`: it was cut off. `turns`: it calls tools, which were not run, for
   * it was the last one allowed. `context`: what the tools said leaves no room for a response, and was not put in.
   */
  readonly end: "answered" | "length" | "turns" | "context"
}

/**
 * Lets a policy respond and call tools until it has an answer. Calls of one response run side by side; their outputs go
 * in together, in the order of the calls. Tools that fail, take too long or do not exist are told to the policy.
 * Rejects with a GenerationError, or the reason of `signal`; `onTurn` was told of the turns before. @throws InvalidSeed;
 * RangeError for two tools of one name, or turns that are no number from 1
 */
export const agentLoop = async (generator: GeneratorShape, options: AgentOptions): Promise<AgentResult> => {
  const { format, signal, tokenizer, tokenizerThread } = options
  const over = (thread: TokenizerThread) => play(generator, options, format ?? chatTurns(tokenizer, thread))
  try {
    return await (tokenizerThread === undefined ? withSharedThread(tokenizer, over) : over(tokenizerThread))
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error
  }
}

const play = async (generator: GeneratorShape, options: AgentOptions, format: TurnFormat): Promise<AgentResult> => {
  const { findCalls = taggedCalls, maxTurns = 8, onTurn, signal, tokenizer } = options
  if (!(Number.isInteger(maxTurns) && maxTurns > 0)) throw new RangeError(`maxTurns is ${maxTurns}, not 1 or more`)
  const tools = toolsByName(options.tools)
  const episode = openEpisode(generator, options)
  const turns: Array<AgentTurn> = []
  const result = (end: AgentResult["end"]): AgentResult => ({ transcript: episode.transcript(), turns, end })
  for (;;) {
    const response = await episode.respond()
    const text = tokenizer.decode(response.responseIds)
    const asked = response.finishReason === "length" ? [] : findCalls(text)
    const isLast = asked.length === 0 || turns.length + 1 >= maxTurns
    const outcomes = isLast ? [] : await Promise.all(asked.map((call) => callTool(tools, call, signal)))
    const turn = { response, text, calls: outcomes.map((outcome, i) => ({ call: asked[i]!, outcome })) }
    turns.push(turn)
    onTurn?.(turn, episode.transcript)
    if (response.finishReason === "length") return result("length")
    if (isLast) return result(asked.length === 0 ? "answered" : "turns")
    const ids = await format.afterCalls(response, outcomes.map(outcomeText), signal)
    if (episode.length() + ids.length >= generator.limits.contextTokens) return result("context")
    episode.insert(ids)
  }
}

const toolsByName = (tools: ReadonlyArray<Tool>): ReadonlyMap<string, Tool> => {
  const byName = new Map(tools.map((tool) => [tool.name, tool]))
  if (byName.size < tools.length) throw new RangeError("two tools have the same name")
  return byName
}

const callTool = async (
  tools: ReadonlyMap<string, Tool>,
  call: ToolCall | MalformedCall,
  signal: AbortSignal | undefined
): Promise<ToolOutcome> => {
  if ("malformed" in call) return { _tag: "Refused", reason: call.malformed }
  const tool = tools.get(call.name)
  if (tool !== undefined) return tool.call(call.arguments, signal)
  const names = [...tools.keys()].join(", ")
  return { _tag: "Refused", reason: `there is no tool ${JSON.stringify(call.name)}; there are: ${names || "none"}` }
}
