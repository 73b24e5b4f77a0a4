/** Element types that weights may be stored in; computing is in float32. */
export type WeightType = "float32" | "float16" | "bfloat16"

export interface StoredType {
  readonly bytes: number
  /** Values as float32; the bytes are little-endian and not used afterwards. */
  readonly widen: (bytes: Uint8Array<ArrayBuffer>) => Float32Array
}

const words = (bytes: Uint8Array<ArrayBuffer>): Uint16Array =>
  new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)

/** By the name that safetensors headers use. */
export const readableTypes: Readonly<Record<string, StoredType>> = {
  F32: { bytes: 4, widen: (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) },
  BF16: { bytes: 2, widen: (bytes) => widenBfloat16(words(bytes)) },
  F16: { bytes: 2, widen: (bytes) => widenFloat16(words(bytes)) }
}

/** Why tensors of another type are not read. */
export const unreadable = (dtype: string): string =>
  `is stored as ${dtype}; weights are read from ${Object.keys(readableTypes).join(", ")}`

/** Bytes an element of the types that safetensors knows and weights are not read from. */
export const otherTypes: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1
}

export const writtenTypes: Readonly<
  Record<
    WeightType,
    { readonly name: string; readonly bytes: number; readonly narrow: (values: Float32Array) => Uint8Array }
  >
> = {
  float32: { name: "F32", bytes: 4, narrow: (values) => asBytes(values) },
  bfloat16: { name: "BF16", bytes: 2, narrow: (values) => asBytes(narrowBfloat16(values)) },
  float16: { name: "F16", bytes: 2, narrow: (values) => asBytes(narrowFloat16(values)) }
}

const asBytes = (values: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** bfloat16 is the upper half of a float32. */
const widenBfloat16 = (source: Uint16Array): Float32Array => {
  const bits = new Uint32Array(source.length)
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16
  return new Float32Array(bits.buffer)
}

/** Rounds to the nearest, ties to even; NaN stays NaN. */
const narrowBfloat16 = (source: Float32Array): Uint16Array => {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  const narrow = new Uint16Array(source.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const notANumber = (word & 0x7fffffff) > 0x7f800000
    narrow[i] = notANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return narrow
}

const widenFloat16 = (source: Uint16Array): Float32Array => {
  const table = float16Values()
  const values = new Float32Array(source.length)
  for (let i = 0; i < source.length; i++) values[i] = table[source[i]!]!
  return values
}

let cachedFloat16Values: Float32Array | undefined

/** The value of each of the 65 536 bit patterns. */
const float16Values = (): Float32Array => {
  cachedFloat16Values ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25)
  })
  return cachedFloat16Values
}

/** Rounds to the nearest, ties to even; beyond 65504 becomes infinite. */
const narrowFloat16 = (source: Float32Array): Uint16Array => {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  const narrow = new Uint16Array(source.length)
  for (let i = 0; i < bits.length; i++) narrow[i] = float16Bits(bits[i]!)
  return narrow
}

const float16Bits = (word: number): number => {
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 65520 rounds up to 2¹⁶, which float16 does not have
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  const exponent = (magnitude >>> 23) - 112
  if (exponent > 0) return sign | roundedShift((exponent << 23) | (magnitude & 0x7fffff), 13)
  // below 2⁻¹⁴ values are multiples of 2⁻²⁴
  const shift = 14 - exponent
  return shift > 24 ? sign : sign | roundedShift((magnitude & 0x7fffff) | 0x800000, shift)
}

/** value / 2^shift, to the nearest, ties to even. */
const roundedShift = (value: number, shift: number): number => {
  const half = 2 ** (shift - 1)
  const rest = value & (2 ** shift - 1)
  const whole = value >>> shift
  return rest > half || (rest === half && (whole & 1) === 1) ? whole + 1 : whole
}
