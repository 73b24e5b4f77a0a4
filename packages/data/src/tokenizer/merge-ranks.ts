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
 * edges. So each token is only ever made by the one pair that its own bytes end in. Where the list names that pair
 * for every token, in an order of increasing rank, both rules see the same pairs with the same priorities. Llama 3's
 * list, which names every way to split a token, passes: the other ways are never used. Tokens that no merges reach are
 * left out, except under `ignore_merges`, where a word can be one.
 *
 * @param added contents of added tokens, which never reach the model as text
 */
export const rankedVocabulary = (model: ModelDefinition, added: ReadonlySet<string>): RankedVocabulary | undefined => {
  if (model.type !== "BPE" || !plainByteLevel(model)) return undefined
  const idOf = new Map(vocabularyEntries(model))
  if (BYTE_CHARACTERS.some((character) => !idOf.has(character))) return undefined
  const made = usedMerges(mergePairs(model))
  const words = model.ignore_merges === true ? [...idOf.keys()] : []
  if (made === undefined || words.some((word) => isMergeable(word, added) && !made.has(word))) return undefined
  const tokens = [...BYTE_CHARACTERS, ...made.keys()]
  if (tokens.some((token) => !idOf.has(token))) return undefined
  return { tokens, ids: Int32Array.from(tokens, (token) => idOf.get(token)!) }
}

/** tiktoken's own text form of ranks: "! first-rank base64 base64 …". */
export const tiktokenRanks = (tokens: ReadonlyArray<string>): string =>
  `! 0 ${tokens.map((token) => Buffer.from(tokenBytes(token)!).toString("base64")).join(" ")}`

/** Merge pairs of a ranked vocabulary, in rank order: the way back from tiktoken to a merge list. */
export const mergesOfRanks = (tokens: ReadonlyArray<Uint8Array>): ReadonlyArray<readonly [string, string]> => {
  const names = tokens.map(byteLevelToken)
  const rankOf = new Map(names.map((name, rank) => [name, rank]))
  const tiktokenRank: PairRank = (left, right) => rankOf.get(left + right)
  const made = new Map<string, Merge>()
  names.forEach((name, rank) => {
    for (let cut = 1; cut < name.length; cut++) {
      const [left, right] = [name.slice(0, cut), name.slice(cut)]
      const known = [left, right].every((part) => part.length === 1 || made.has(part))
      if (!known || !meetsUnmerged(left, right, made, tiktokenRank)) continue
      made.set(name, { left, right, rank })
      break
    }
  })
  return [...made.values()].map(({ left, right }) => [left, right])
}

/** The pair that makes a token, and the priority of that merge: the lowest goes first. */
interface Merge {
  readonly left: string
  readonly right: string
  readonly rank: number
}

type PairRank = (left: string, right: string) => number | undefined

const plainByteLevel = (model: ModelDefinition): boolean =>
  model.byte_fallback !== true && !model.continuing_subword_prefix && !model.end_of_word_suffix

const isMergeable = (token: string, added: ReadonlySet<string>): boolean =>
  token.length > 1 && !added.has(token) && tokenBytes(token) !== undefined

/**
 * The one merge of a list that makes each reachable token from its own bytes, in order. Undefined where a merge is
 * listed before what makes its parts, so that merges need not happen in the order of the list.
 */
const usedMerges = (pairs: ReadonlyArray<readonly [string, string]>): ReadonlyMap<string, Merge> | undefined => {
  const rankOfPair = new Map(pairs.map(([left, right], rank) => [`${left} ${right}`, rank]))
  const pairRank: PairRank = (left, right) => rankOfPair.get(`${left} ${right}`)
  const lastMade = new Map(pairs.map(([left, right], rank) => [left + right, rank]))
  const made = new Map<string, Merge>()
  for (const [rank, [left, right]] of pairs.entries()) {
    const missing = [left, right].filter((part) => part.length > 1 && !made.has(part))
    if (missing.some((part) => (lastMade.get(part) ?? -1) > rank)) return undefined
    if (missing.length > 0 || made.has(left + right) || tokenBytes(left + right) === undefined) continue
    if (meetsUnmerged(left, right, made, pairRank)) made.set(left + right, { left, right, rank })
  }
  return made
}

/**
 * Whether two tokens come to stand side by side when their bytes are merged together: going back in time merge by merge,
 * no pair across the border had priority over the merge undone. Of equal merges the left one goes first.
 */
const meetsUnmerged = (left: string, right: string, made: ReadonlyMap<string, Merge>, pairRank: PairRank): boolean => {
  let [a, b] = [left, right]
  for (;;) {
    const [before, after] = [made.get(a), made.get(b)]
    if (before === undefined && after === undefined) return true
    const undoLeft = after === undefined || (before !== undefined && before.rank > after.rank)
    if (undoLeft) a = before!.right
    else b = after.left
    const across = pairRank(a, b)
    if (across !== undefined && across < (undoLeft ? before!.rank : after.rank + 1)) return false
  }
}
