import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import { type DecoderTable, llama } from "@plumbline/models"
import { philoxStream } from "@plumbline/runtime"

const LETTERS = "abcdefgh"
const HELD_OUT = 112

/** What the demonstrations do with a word; only the first is right. */
const manners: ReadonlyArray<(word: string) => string> = [
  (word) => Array.from(word).toReversed().join(""),
  (word) => word,
  (word) => word.slice(0, 1).repeat(word.length),
  (word) => Array.from(word).toSorted().join(""),
  (word) => word.slice(-1).repeat(word.length)
]

export interface ReversedWords {
  /** A word and what one of five manners makes of it: one in five is right. */
  readonly demonstrations: ReadonlyArray<{ readonly prompt: string; readonly completion: string }>
  readonly prompts: ReadonlyArray<{ readonly prompt: string; readonly answer: string }>
  /** Words that neither stage has seen. */
  readonly heldOut: ReadonlyArray<{ readonly prompt: string; readonly answer: string }>
}

/** Reverse a word of three letters. All 512 words, shuffled by the seed; 112 of them are held out. */
export const reversedWords = (seed: number, demonstrations: number): ReversedWords => {
  const { uniform } = philoxStream(seed, "reversed-words")
  const words = Array.from(LETTERS).flatMap((a) =>
    Array.from(LETTERS).flatMap((b) => Array.from(LETTERS, (c) => a + b + c))
  )
  const shuffled = words
    .map((word, i) => ({ word, at: uniform(i) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ word }) => word)
  const task = (word: string) => ({ prompt: `${word}>`, answer: manners[0]!(word) })
  const known = shuffled.slice(HELD_OUT)
  return {
    demonstrations: Array.from({ length: demonstrations }, (_, i) => {
      const pick = (salt: number, of: number) => Math.floor(uniform(1000 + 2 * i + salt) * of)
      const word = known[pick(0, known.length)]!
      return { prompt: `${word}>`, completion: manners[pick(1, manners.length)]!(word) }
    }),
    prompts: known.map(task),
    heldOut: shuffled.slice(0, HELD_OUT).map(task)
  }
}

export const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS })

/** A two-block Llama of 60,000 weights that reads and writes bytes. */
export const table: DecoderTable = {
  family: llama,
  vocabulary: tokenizer.vocabSize,
  width: 48,
  layers: 2,
  heads: 4,
  mlpWidth: 128,
  maxPositions: 16,
  tiedEmbeddings: true,
  settings: { initializer_range: 0.05, eos_token_id: tokenizer.eosId }
}
