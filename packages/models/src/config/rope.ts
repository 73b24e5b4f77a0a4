import { Schema } from "effect"

/** Rotary position embedding of every layer: R features of each head turn. */
export interface Rope {
  /** [R/2] float32, radians a position */
  readonly inverseFrequencies: Float32Array
  /** Factor on cosine and sine. */
  readonly scale: number
}

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** `rope_parameters` of config.json, standardised: the type and θ are there. */
export const RopeParameters = Schema.Struct({
  rope_type: Schema.String,
  rope_theta: Positive,
  partial_rotary_factor: optional(Positive.check(Schema.isLessThanOrEqualTo(1))),
  factor: optional(Positive),
  original_max_position_embeddings: optional(Positive),
  low_freq_factor: optional(Positive),
  high_freq_factor: optional(Positive),
  attention_factor: optional(Positive),
  beta_fast: optional(Positive),
  beta_slow: optional(Positive),
  mscale: optional(Schema.Finite),
  mscale_all_dim: optional(Schema.Finite),
  truncate: optional(Schema.Boolean)
})

export type RopeParameters = typeof RopeParameters.Type

interface RopeType {
  /** Fields that must be there. */
  readonly required: ReadonlyArray<keyof RopeParameters>
  /** @param rotated R, features of a head that turn; @param maxPositions the model's context, tokens */
  readonly rope: (parameters: RopeParameters, rotated: number, maxPositions: number) => Rope
}

/** θ^(−2i/R), rounded to float32 after each operation as torch does. */
const plainFrequencies = (theta: number, rotated: number): Float32Array =>
  Float32Array.from(
    { length: Math.ceil(rotated / 2) },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / rotated))
  )

const plain: RopeType = {
  required: [],
  rope: ({ rope_theta }, rotated) => ({ inverseFrequencies: plainFrequencies(rope_theta, rotated), scale: 1 })
}

/** Position interpolation: every frequency divided by `factor`. @see Chen et al. 2023, https://arxiv.org/abs/2306.15595 */
const linear: RopeType = {
  required: ["factor"],
  rope: ({ factor, rope_theta }, rotated) => ({
    inverseFrequencies: plainFrequencies(rope_theta, rotated).map((frequency) => frequency / factor!),
    scale: 1
  })
}

/** Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between. */
const llama3: RopeType = {
  required: ["factor", "low_freq_factor", "high_freq_factor"],
  rope: (parameters, rotated, maxPositions) => {
    const [factor, low, high] = [parameters.factor!, parameters.low_freq_factor!, parameters.high_freq_factor!]
    const context = parameters.original_max_position_embeddings ?? maxPositions
    const scaled = (frequency: number): number => {
      const wavelength = (2 * Math.PI) / frequency
      if (wavelength > context / low) return frequency / factor
      if (wavelength < context / high) return frequency
      const smooth = (context / wavelength - low) / (high - low)
      return ((1 - smooth) * frequency) / factor + smooth * frequency
    }
    return { inverseFrequencies: plainFrequencies(parameters.rope_theta, rotated).map(scaled), scale: 1 }
  }
}

/** YaRN: interpolates the slow features, keeps the fast ones, rescales attention. @see Peng et al. 2023, https://arxiv.org/abs/2309.00071 */
const yarn: RopeType = {
  required: [],
  rope: (parameters, rotated, maxPositions) => {
    const context = parameters.original_max_position_embeddings ?? maxPositions
    const factor = parameters.factor ?? maxPositions / context
    const [low, high] = yarnRange(parameters, rotated, context)
    const span = low === high ? 0.001 : high - low
    const inverseFrequencies = plainFrequencies(parameters.rope_theta, rotated).map((frequency, i) => {
      const interpolated = Math.min(1, Math.max(0, (i - low) / span))
      return (frequency / factor) * interpolated + frequency * (1 - interpolated)
    })
    return { inverseFrequencies, scale: parameters.attention_factor ?? yarnScale(parameters, factor) }
  }
}

/** The features between which YaRN ramps: those that turn `beta_fast` and `beta_slow` times within the context. */
const yarnRange = (parameters: RopeParameters, rotated: number, context: number): readonly [number, number] => {
  const feature = (turns: number) =>
    (rotated * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(parameters.rope_theta))
  const [first, last] = [feature(parameters.beta_fast || 32), feature(parameters.beta_slow || 1)]
  const whole = parameters.truncate ?? true
  return [Math.max(whole ? Math.floor(first) : first, 0), Math.min(whole ? Math.ceil(last) : last, rotated - 1)]
}

const yarnScale = ({ mscale, mscale_all_dim }: RopeParameters, factor: number): number => {
  const scale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
  return mscale && mscale_all_dim ? scale(mscale) / scale(mscale_all_dim) : scale(1)
}

/** By `rope_type`. */
export const ropeTypes: Readonly<Record<string, RopeType>> = { default: plain, linear, llama3, yarn }
