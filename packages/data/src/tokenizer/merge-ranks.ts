import { BYTE_CHARACTERS, byteLevelToken, tokenBytes } from "./byte-level.ts"
import { mergePairs, type ModelDefinition, vocabularyEntries } from "./definition.ts"

/** A byte-level vocabulary as tiktoken has it: tokens by rank, lowest merged first. */
export interface RankedVocabulary {
  /** [rank] byte-level tokens: the 256 bytes, then merged tokens */
  readonly tokens: ReadonlyArray<string>
  /** [rank] int32, id in tokenizer.json */
  readonly ids: Int32Array
}

/**
 * Orders a merge list's tokens so that tiktoken's rule (merge the pair whose bytes have the lowest rank) makes the same
 * merges, or undefined where it might not.
 *
 * Whatever merge makes a token, the bytes inside have been merged as if they stood alone: no merge has crossed their
 * edges. So both rules agree everywhere if, for each token, both make it from its own bytes through the same last
 * pair, and these pairs keep their order. Llama 3's list, which names every way to split a token, passes: only one
 * way is ever used. Tokens that no merges reach are left out, except under `ignore_merges`, where a word can be one.
 *
 * @param added contents of added tokens, which never reach the model as text
 */
export const rankedVocabulary = (model: ModelDefinition, added: ReadonlySet<string>): RankedVocabulary | undefined => {
  if (model.type !== "BPE" || !plainByteLevel(model)) return undefined
  const idOf = new Map(vocabularyEntries(model))
  if (BYTE_CHARACTERS.some((character) => !idOf.has(character))) return undefined
  const lastMerge = usedMerges(model, idOf, added)
  if (lastMerge === undefined) return undefined
  const merged = [...lastMerge].toSorted(([, a], [, b]) => a.rank - b.rank).map(([token]) => token)
  const tokens = [...BYTE_CHARACTERS, ...merged]
  const rankOf = new Map(tokens.map((token, rank) => [token, rank]))
  const tiktokenRank: PairRank = (left, right) => rankOf.get(left + right)
  const agrees = ([token, { left }]: readonly [string, LastMerge]) => lastPair(token, tiktokenRank)?.left === left
  return [...lastMerge].every(agrees)
    ? { tokens, ids: Int32Array.from(tokens, (token) => idOf.get(token)!) }
    : undefined
}

/** tiktoken's own text form of ranks: "! first-rank base64 base64 …". */
export const tiktokenRanks = (tokens: ReadonlyArray<string>): string =>
  `! 0 ${tokens.map((token) => Buffer.from(tokenBytes(token)!).toString("base64")).join(" ")}`

interface LastMerge {
  readonly left: string
  readonly rank: number
}

const plainByteLevel = (model: ModelDefinition): boolean =>
  model.byte_fallback !== true && !model.continuing_subword_prefix && !model.end_of_word_suffix

/** How each reachable token is made from its own bytes by the merge list. */
const usedMerges = (model: ModelDefinition, idOf: ReadonlyMap<string, number>, added: ReadonlySet<string>) => {
  const pairRank = new Map(mergePairs(model).map(([left, right], rank) => [`${left} ${right}`, rank]))
  const rank: PairRank = (left, right) => pairRank.get(`${left} ${right}`)
  const merges = new Map<string, LastMerge>()
  const products =
    model.ignore_merges === true ? [...idOf.keys()] : mergePairs(model).map(([left, right]) => left + right)
  for (const token of products) {
    if (token.length < 2 || merges.has(token) || added.has(token) || tokenBytes(token) === undefined) continue
    const last = lastPair(token, rank)
    // under ignore_merges a whole word becomes this token though merges never make it
    if (last === undefined && model.ignore_merges === true) return undefined
    if (last !== undefined && idOf.has(token)) merges.set(token, last)
  }
  return merges
}

type PairRank = (left: string, right: string) => number | undefined

/** The merge that completes a token when its bytes are merged alone, lowest rank first, leftmost of equals. */
const lastPair = (token: string, rankOf: PairRank): LastMerge | undefined => {
  const parts = [...token]
  for (;;) {
    let best = -1
    let bestRank = Infinity
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = rankOf(parts[i]!, parts[i + 1]!)
      if (rank !== undefined && rank < bestRank) [best, bestRank] = [i, rank]
    }
    if (best === -1) return undefined
    if (parts.length === 2) return { left: parts[0]!, rank: bestRank }
    parts.splice(best, 2, parts[best]! + parts[best + 1]!)
  }
}

/** Merge pairs of a ranked vocabulary, in rank order: the way back from tiktoken to a merge list. */
export const mergesOfRanks = (tokens: ReadonlyArray<Uint8Array>): ReadonlyArray<readonly [string, string]> => {
  const names = tokens.map(byteLevelToken)
  const rankOf = new Map(names.map((name, rank) => [name, rank]))
  return names.flatMap((name) => {
    if (name.length === 1) return []
    const last = lastPair(name, (left, right) => rankOf.get(left + right))
    return last === undefined ? [] : [[last.left, name.slice(last.left.length)] as const]
  })
}
