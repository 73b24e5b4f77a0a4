import { BYTE_CHARACTERS, byteLevelToken, byteVocabulary, GPT4_PATTERN, utf8 } from "./byte-level.ts"
import { byteLevelDefinition, fromDefinition, type SpecialTokenOptions } from "./byte-tokenizer.ts"
import { PairQueue } from "./pair-queue.ts"
import { preTokenizer } from "./pre-tokenizers.ts"
import type { TokenizerShape } from "./tokenizer.ts"

export interface TrainBpeOptions extends SpecialTokenOptions {
  /** Special tokens, 256 bytes and merged tokens together; fewer come out where no pair occurs twice any more. */
  readonly vocabSize: number
}

/**
 * Trains a byte-level BPE vocabulary: words are cut by GPT-4's pattern, and the most frequent adjacent pair
 * inside them is merged again and again. Ids: special tokens, then bytes, then merges in order.
 *
 * Deterministic: of equally frequent pairs the one with the smaller ids goes first, as in the Rust trainer.
 *
 * @see Sennrich et al. 2016, algorithm 1, https://arxiv.org/abs/1508.07909
 */
export const trainByteLevelBpe = (texts: Iterable<string>, options: TrainBpeOptions): TokenizerShape => {
  const { specials, vocabSize } = options
  const alphabet = BYTE_CHARACTERS.toSorted()
  const smallest = specials.length + alphabet.length
  if (vocabSize < smallest)
    throw new RangeError(`a vocabulary of ${vocabSize} cannot hold ${smallest} bytes and specials`)
  const tokens = [...specials, ...alphabet]
  const idOf = new Map(alphabet.map((character, i) => [character, specials.length + i]))
  const merges = learnMerges(countWords(texts), idOf, tokens, vocabSize)
  const definition = byteLevelDefinition({
    vocab: [
      ...byteVocabulary(specials.length, alphabet),
      ...tokens.slice(smallest).map((token, i) => [token, smallest + i] as const)
    ],
    merges,
    specials: specials.map((content, id) => [content, id] as const),
    pattern: GPT4_PATTERN
  })
  return fromDefinition("trained byte-level BPE", () => definition, options)
}

interface Word {
  readonly ids: Array<number>
  readonly count: number
}

const countWords = (texts: Iterable<string>): ReadonlyMap<string, number> => {
  const cut = preTokenizer({ type: "Split", pattern: { Regex: GPT4_PATTERN }, behavior: "Isolated", invert: false })
  const counts = new Map<string, number>()
  for (const text of texts) for (const word of cut([text], true)) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

/** Appends merged tokens to `tokens` until `vocabSize`; returns the merges. */
const learnMerges = (
  counts: ReadonlyMap<string, number>,
  idOf: ReadonlyMap<string, number>,
  tokens: Array<string>,
  vocabSize: number
): ReadonlyArray<readonly [string, string]> => {
  const words = [...counts].map(([word, count]): Word => ({
    ids: [...byteLevelToken(utf8(word))].map((character) => idOf.get(character)!),
    count
  }))
  const pairs = new PairCounts()
  words.forEach((word, w) => pairs.addWord(w, word))
  const merges: Array<readonly [string, string]> = []
  while (tokens.length < vocabSize) {
    const best = pairs.takeMostFrequent()
    if (best === undefined) break
    const [left, right] = best
    for (const w of pairs.wordsWith(left, right)) mergeInWord(words[w]!, w, left, right, tokens.length, pairs)
    merges.push([tokens[left]!, tokens[right]!])
    tokens.push(tokens[left]! + tokens[right]!)
  }
  return merges
}

const mergeInWord = (word: Word, w: number, left: number, right: number, merged: number, pairs: PairCounts): void => {
  const { ids, count } = word
  for (let i = 0; i + 1 < ids.length; i++) {
    if (ids[i] !== left || ids[i + 1] !== right) continue
    if (i > 0) {
      pairs.add(ids[i - 1]!, left, -count, w)
      pairs.add(ids[i - 1]!, merged, count, w)
    }
    if (i + 2 < ids.length) {
      pairs.add(right, ids[i + 2]!, -count, w)
      pairs.add(merged, ids[i + 2]!, count, w)
    }
    ids.splice(i, 2, merged)
  }
}

// ids stay below 2^20, so a pair is one safe integer
const STRIDE = 2 ** 20

/** How often each adjacent pair occurs, and in which words. */
class PairCounts {
  private readonly counts = new Map<number, number>()
  private readonly places = new Map<number, Set<number>>()
  private readonly queue = new PairQueue()

  addWord(w: number, { ids, count }: Word): void {
    for (let i = 0; i + 1 < ids.length; i++) this.add(ids[i]!, ids[i + 1]!, count, w)
  }

  add(left: number, right: number, change: number, w: number): void {
    const pair = left * STRIDE + right
    const count = (this.counts.get(pair) ?? 0) + change
    this.counts.set(pair, count)
    if (change < 0) return
    const words = this.places.get(pair)
    if (words === undefined) this.places.set(pair, new Set([w]))
    else words.add(w)
    this.queue.push(pair, count)
  }

  /** The pair to merge next, or undefined where none occurs twice. */
  takeMostFrequent(): readonly [number, number] | undefined {
    for (let top = this.queue.pop(); top !== undefined; top = this.queue.pop()) {
      const count = this.counts.get(top.pair)!
      if (count < 2) continue
      // an entry whose count fell since it was queued goes back with the true one
      if (count !== top.count) {
        if (count < top.count) this.queue.push(top.pair, count)
        continue
      }
      this.counts.set(top.pair, 0)
      return [Math.floor(top.pair / STRIDE), top.pair % STRIDE]
    }
    return undefined
  }

  wordsWith(left: number, right: number): ReadonlyArray<number> {
    return [...(this.places.get(left * STRIDE + right) ?? [])]
  }
}
