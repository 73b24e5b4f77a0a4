/** The 16 numbers of NF4: quantiles of the normal distribution, scaled to [−1, 1], with an exact 0 (appendix E of the paper). */
export const NF4_LEVELS: ReadonlyArray<number> = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1
]

/** Numbers that share a scale. */
export const NF4_BLOCK = 64
/** Scales that share a scale. */
export const NF4_OUTER_BLOCK = 256

/** Bytes of so many numbers packed. */
export const nf4Bytes = (numbers: number): number => {
  const blocks = Math.ceil(numbers / NF4_BLOCK)
  const groups = Math.ceil(blocks / NF4_OUTER_BLOCK)
  return blocks * (NF4_BLOCK / 2) + groups * (NF4_OUTER_BLOCK + 4)
}

/** Packed values on the host. */
export interface Nf4Values {
  readonly codes: Int32Array
  readonly scales: Int32Array
  readonly outer: Float32Array
  readonly mean: number
}

/** Halfway between neighbouring levels, float32. */
export const NF4_BORDERS = Float32Array.from({ length: 15 }, (_, i) => (NF4_LEVELS[i]! + NF4_LEVELS[i + 1]!) / 2)

/** Cells of [−1, 1], each narrower than two borders are apart: the level of a cell's beginning. */
const CELLS = Uint8Array.from(
  { length: 64 },
  (_, cell) => NF4_BORDERS.filter((border) => cell / 31.5 - 1 > border).length
)

/** The nearest level of a number in [−1, 1]. */
const nearest = (value: number): number => {
  const level = CELLS[Math.trunc((value + 1) * 31.5)]!
  return value > NF4_BORDERS[level]! ? level + 1 : level
}

/**
 * 4 bits a number: each block of 64 is divided by its largest magnitude and rounded to the nearest of 16 levels. The
 * magnitudes, less their mean, are rounded to 8 bits themselves, in blocks of 256 (double quantisation): 4.13 bits in
 * all. Their 8 bits are evenly spaced here, where the paper has floating-point ones.
 *
 * All but the scales' scales is float32 arithmetic, so that a device gets the same bits: the mean of the magnitudes is
 * summed in float64, where the order does not matter unless the largest is some hundred times the smallest.
 *
 * @see Dettmers et al. 2023, §3, https://arxiv.org/abs/2305.14314
 */
export const packNf4 = (values: Float32Array): Nf4Values => {
  const blocks = Math.ceil(values.length / NF4_BLOCK)
  const { mean, outer, rounded, scales } = packScales(magnitudes(values, blocks))
  const codes = new Int32Array(blocks * (NF4_BLOCK / 8))
  for (let block = 0; block < blocks; block++) {
    const scale = rounded[block]!
    for (let i = block * NF4_BLOCK; i < (block + 1) * NF4_BLOCK; i++) {
      // the rounded scale may be smaller than the largest magnitude; the last block ends in zeros
      const value = scale === 0 || i >= values.length ? 0 : Math.max(-1, Math.min(1, Math.fround(values[i]! / scale)))
      codes[i >> 3]! |= nearest(value) << (4 * (i & 7))
    }
  }
  return { codes, scales, outer, mean }
}

const magnitudes = (values: Float32Array, blocks: number): Float32Array => {
  const largest = new Float32Array(blocks)
  for (let block = 0; block < blocks; block++) {
    const end = Math.min(values.length, (block + 1) * NF4_BLOCK)
    let most = 0
    for (let i = block * NF4_BLOCK; i < end; i++) most = Math.max(most, Math.abs(values[i]!))
    largest[block] = most
  }
  return largest
}

/** [blocks] magnitudes as bytes, and as what the bytes stand for. */
const packScales = (exact: Float32Array) => {
  const mean = Math.fround(exact.reduce((sum, value) => sum + value, 0) / Math.max(1, exact.length))
  const groups = Math.ceil(exact.length / NF4_OUTER_BLOCK)
  const outer = new Float32Array(groups)
  exact.forEach((value, block) => {
    const group = Math.floor(block / NF4_OUTER_BLOCK)
    outer[group] = Math.max(outer[group]!, Math.abs(value - mean) / 127)
  })
  const scales = new Int32Array(groups * (NF4_OUTER_BLOCK / 4))
  exact.forEach((value, block) => {
    const step = outer[Math.floor(block / NF4_OUTER_BLOCK)]!
    const byte = step === 0 ? 0 : Math.floor((value - mean) / step + 0.5)
    scales[block >> 2]! |= (byte & 255) << (8 * (block & 3))
  })
  return { mean, outer, scales, rounded: unpackScales({ scales, outer, mean }) }
}

/** [groups · 256] float32 */
const unpackScales = ({ mean, outer, scales }: Omit<Nf4Values, "codes">): Float32Array =>
  Float32Array.from({ length: outer.length * NF4_OUTER_BLOCK }, (_, block) => {
    const byte = (scales[block >> 2]! << (24 - 8 * (block & 3))) >> 24
    return Math.fround(byte * outer[Math.floor(block / NF4_OUTER_BLOCK)]!) + mean
  })

/** The numbers that packed ones stand for, to the end of the last block: the reference implementation. */
export const unpackNf4 = (packed: Nf4Values): Float32Array => {
  const scales = unpackScales(packed)
  return Float32Array.from({ length: packed.codes.length * 8 }, (_, i) => {
    const code = (packed.codes[i >> 3]! >>> (4 * (i & 7))) & 15
    return NF4_LEVELS[code]! * scales[Math.floor(i / NF4_BLOCK)]!
  })
}
