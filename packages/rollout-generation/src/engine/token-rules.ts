import { type IncrementalText, incrementalText, type TokenizerShape } from "@plumbline/data"
import type { GenerationRequest, StopMatch } from "../request.ts"
import type { SamplingOptions } from "../sampling/options.ts"

/** Penalty and addend of a token, as `LogitEdits` have them. */
export type LogitEdit = readonly [penalty: number, addend: number]

/** What a response's own tokens do to the next one, and when it ends. */
export interface TokenRules {
  /** The logits that change for the token after `count` others, by id; undefined = none. */
  readonly edits: (count: number) => ReadonlyMap<number, LogitEdit> | undefined
  /** Whether the edits depend on which tokens were drawn. */
  readonly followTokens: boolean
  /** Takes the next token of the response, the last one where nothing comes after it. @returns what ends it, if anything does */
  readonly accept: (id: number, last: boolean) => StopMatch | undefined
}

/** @param tokenizer needed where there are stop strings */
export const tokenRules = (
  { promptIds, sampling: options, stopInSpecialTokens = false }: GenerationRequest,
  tokenizer: Pick<TokenizerShape, "decode"> | undefined
): TokenRules => {
  const { minNewTokens } = options
  const changed = startingEdits(options, promptIds)
  const stopIds = new Set(options.stopIds)
  const strings = stopStrings(options.stopStrings, tokenizer, !stopInSpecialTokens)
  const seen = new Set<number>()
  let count = 0
  return {
    followTokens: isPenalised(options),
    edits: (before) => {
      const banned = before < minNewTokens ? options.stopIds : []
      if (banned.length === 0) return changed.size === 0 ? undefined : changed
      const withBans = new Map(changed)
      for (const id of banned) withBans.set(id, [1, -Infinity])
      return withBans
    },
    accept: (id, last) => {
      penalise(changed, options, id, !seen.has(id))
      seen.add(id)
      count += 1
      const isStop = stopIds.has(id)
      const text = isStop ? strings?.end() : (strings?.next(id) ?? (last ? strings?.end() : undefined))
      if (text !== undefined && count >= minNewTokens) return { kind: "string", text }
      return isStop ? { kind: "id", id } : undefined
    }
  }
}

const startingEdits = ({ logitBias, repetitionPenalty }: SamplingOptions, promptIds: Int32Array) => {
  const edits = new Map<number, LogitEdit>()
  if (repetitionPenalty !== 1) for (const id of promptIds) edits.set(id, [repetitionPenalty, 0])
  for (const [id, bias] of Object.entries(logitBias)) {
    edits.set(Number(id), [edits.get(Number(id))?.[0] ?? 1, bias])
  }
  return edits
}

const isPenalised = ({ frequencyPenalty, presencePenalty, repetitionPenalty }: SamplingOptions): boolean =>
  repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0

/** @param first whether the response has the token for the first time */
const penalise = (edits: Map<number, LogitEdit>, options: SamplingOptions, id: number, first: boolean): void => {
  if (!isPenalised(options)) return
  const { frequencyPenalty, presencePenalty, repetitionPenalty } = options
  const addend = edits.get(id)?.[1] ?? 0
  edits.set(id, [repetitionPenalty, addend - frequencyPenalty - (first ? presencePenalty : 0)])
}

interface StopStrings {
  /** @returns the one that ends with this token */
  readonly next: (id: number) => string | undefined
  /** @returns the one that ends with bytes which waited for the rest of a character, and get none */
  readonly end: () => string | undefined
}

/**
 * Finds stop strings in the text that people read, wherever token borders lie; where that has no special tokens, also a
 * special token that is a stop string.
 */
const stopStrings = (
  strings: ReadonlyArray<string>,
  tokenizer: Pick<TokenizerShape, "decode"> | undefined,
  skipSpecialTokens: boolean
): StopStrings | undefined => {
  if (strings.length === 0) return undefined
  if (tokenizer === undefined) throw new TypeError("stop strings need a tokenizer")
  const text: IncrementalText = incrementalText(tokenizer, { skipSpecialTokens })
  const longest = Math.max(...strings.map(({ length }) => length))
  let tail = ""
  const endedBy = (added: string) => {
    const before = tail.length
    const whole = tail + added
    tail = whole.slice(-longest)
    const places = strings
      .map((stop) => ({ stop, at: whole.indexOf(stop, Math.max(0, before - stop.length + 1)) }))
      .filter(({ at }) => at >= 0)
    return places.toSorted((a, b) => a.at - b.at)[0]?.stop
  }
  return {
    next: (id) => {
      const added = text.push(id)
      return skipSpecialTokens && added === "" && isSpecial(tokenizer, id)
        ? strings.find((stop) => stop === tokenizer.decode([id]))
        : endedBy(added)
    },
    end: () => endedBy(text.flush())
  }
}

const isSpecial = ({ decode }: Pick<TokenizerShape, "decode">, id: number): boolean =>
  decode([id], { skipSpecialTokens: true }) === "" && decode([id]) !== ""
