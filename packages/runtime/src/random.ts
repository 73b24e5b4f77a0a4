import { Schema } from "effect"

/** A seed of random numbers must be a whole number from 0 to 2⁵³ − 1. */
export class InvalidSeed extends Schema.TaggedError<InvalidSeed>()("InvalidSeed", { seed: Schema.Number }) {
  override get message() {
    return `seed ${this.seed} is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`
  }
}

/** A named stream of random numbers: a pure function of (seed, name, index), the same on every backend. */
export interface RandomStream {
  /** Uniform integer in [0, 2³²) at `index`. */
  readonly uint32: (index: number) => number
  /** Uniform number in [0, 1) with 32 random bits at `index`. */
  readonly uniform: (index: number) => number
  /** Standard normal number at `index` (Box-Muller on the words 2·index and 2·index + 1). */
  readonly normal: (index: number) => number
  /** An independent stream below this one. */
  readonly child: (name: string) => RandomStream
}

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85

export type PhiloxWords = readonly [number, number, number, number]

/**
 * Philox4x32-10: ten rounds of a counter-based bijection, so any element of a stream costs the same and
 * a stream has no state to save.
 *
 * @param counter four 32-bit words
 * @param key     two 32-bit words
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405
 */
export const philox4x32 = (counter: PhiloxWords, key: readonly [number, number]): PhiloxWords => {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + WEYL_0) | 0
    k1 = (k1 + WEYL_1) | 0
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0]
}

/** Upper 32 bits of the unsigned 64-bit product. */
const multiplyHigh = (a: number, b: number): number => {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = (middle & 0xffff) + aLow * bHigh
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) | 0
}

/**
 * The stream called `name` of a run's `seed`.
 *
 * @param seed whole number from 0 to 2⁵³ − 1; all of its bits count
 * @throws InvalidSeed
 */
export const philoxStream = (seed: number, name: string): RandomStream => {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new InvalidSeed({ seed })
  const key = [seed | 0, Math.floor(seed / 2 ** 32) | 0] as const
  const [nameLow, nameHigh] = hashName(name)
  let cachedBlock = -1
  let words: PhiloxWords = [0, 0, 0, 0]
  const uint32 = (index: number): number => {
    const block = Math.floor(index / 4)
    if (block !== cachedBlock) {
      words = philox4x32([block | 0, Math.floor(block / 2 ** 32) | 0, nameLow, nameHigh], key)
      cachedBlock = block
    }
    return words[index - block * 4]!
  }
  const uniform = (index: number): number => uint32(index) / 2 ** 32
  return {
    uint32,
    uniform,
    normal: (index) => {
      const radius = Math.sqrt(-2 * Math.log((uint32(2 * index) + 1) / 2 ** 32))
      return radius * Math.cos(2 * Math.PI * uniform(2 * index + 1))
    },
    child: (child) => philoxStream(seed, `${name}/${child}`)
  }
}

/** 64 bits of a name: two FNV-1a hashes of its UTF-16 code units with different offsets. */
const hashName = (name: string): readonly [number, number] => {
  let low = 0x811c9dc5
  let high = 0x050c5d1f
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code ^ (low >>> 15), 0x01000193)
  }
  return [low, high]
}
