import {
  chooseExperts,
  collectRows,
  detached,
  dispatchRows,
  type ExpertChoice,
  expertRows,
  type HostExpertRows,
  hostExpertRows,
  isDifferentiating,
  narrowed,
  routesOnDevice,
  sharesOfAll,
  splitRows,
  type Tensor,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import type { GroupedWeights, Mlp, MlpSize } from "./mlp.ts"
import { linearParameters, type ParameterSpec } from "./parameter.ts"
import type { Weights } from "./weights.ts"

export interface MixtureSize {
  readonly experts: number
  /** Experts that a token goes to. */
  readonly perToken: number
  /** Features within an expert; those of the model's MLPs when absent. */
  readonly expertWidth?: number | undefined
}

export interface MixtureOptions extends MixtureSize {
  readonly expert: Mlp
  /** Whether the probabilities of a token's experts are scaled to add up to 1. */
  readonly renormalised: boolean
  /** Features within an expert that every token goes to, times the sigmoid of a product; there is none when absent. */
  readonly sharedWidth?: number | undefined
}

/**
 * Σ over the k likeliest experts e of p_e(x)·expert_e(x), with p = softmax(W_gate·x) in float32 over all experts; plus, where
 * there is a shared expert, σ(w·x)·shared(x).
 *
 * The rows of tokens are laid side by side by expert, and go through its linear layers in products of all experts, or as those
 * of any MLP do where layers are in 4 bits or adapted each in its own way. No token is dropped, and none waits for another's. Where the device cannot
 * do that by itself, the host reads once a layer which experts the tokens have; what is recorded cannot wait for the host: every
 * token goes through every expert there, and those that are not its own count for 0.
 *
 * @see Shazeer et al. 2017, https://arxiv.org/abs/1701.06538; Jiang et al. 2024, https://arxiv.org/abs/2401.04088
 */
export const mixtureOfExperts = (options: MixtureOptions): Mlp => {
  const { expert, experts, expertWidth, perToken, sharedWidth } = options
  const names = (prefix: string) => Array.from({ length: experts }, (_, e) => `${prefix}.experts.${e}`)
  return {
    mixture: { experts, perToken, expertWidth },
    parameters: (prefix, size) => [
      // few numbers, which decide a lot: they are not kept in 4 bits
      ...linearParameters(`${prefix}.gate`, experts, size.width, false).map((spec) => ({ ...spec, isExact: true })),
      ...names(prefix).flatMap((name) => expertParameters(name, size, options)),
      ...sharedParameters(prefix, size, options)
    ],
    apply: (weights, prefix, x, { isRecorded = false } = {}) =>
      tf.tidy(() => {
        const choice = chosenExperts(weights, prefix, x, options)
        const all = names(prefix)
        const mixed =
          isRecorded && !canGroupOnDevice(expert, weights)
            ? everyExpert(expert, weights, all, x, sharesOfAll(choice, experts))
            : ownExperts(expert, weights, all, x, choice)
        return sharedWidth === undefined ? mixed : tf.add(mixed, sharedExpert(expert, weights, prefix, x))
      })
  }
}

/** Whether a parameter or linear layer is an expert's. */
export const isOfExpert = (name: string): boolean => /\.experts\.\d+\./.test(name)

const expertParameters = (
  name: string,
  size: MlpSize,
  { expert, experts, expertWidth = size.mlpWidth, perToken }: MixtureOptions
): ReadonlyArray<ParameterSpec> =>
  expert.parameters(name, { ...size, mlpWidth: expertWidth }).map((spec) => ({ ...spec, use: perToken / experts }))

const sharedParameters = (
  prefix: string,
  size: MlpSize,
  { expert, sharedWidth }: MixtureOptions
): ReadonlyArray<ParameterSpec> =>
  sharedWidth === undefined
    ? []
    : [
        ...expert.parameters(`${prefix}.shared_expert`, { ...size, mlpWidth: sharedWidth }),
        ...linearParameters(`${prefix}.shared_expert_gate`, 1, size.width, false)
      ]

const sharedExpert = (expert: Mlp, weights: Weights, prefix: string, x: Tensor2D): Tensor2D =>
  tf.mul(
    expert.apply(weights, `${prefix}.shared_expert`, x),
    tf.sigmoid(weights.linear(x, `${prefix}.shared_expert_gate`))
  )

const chosenExperts = (
  weights: Weights,
  prefix: string,
  x: Tensor2D,
  { perToken, renormalised }: MixtureOptions
): ExpertChoice => {
  // unlike softmax it is computed in float32 whatever the logits are stored in
  const likely = tf.exp(tf.logSoftmax(weights.linear(x, `${prefix}.gate`))) as Tensor2D
  const { routing } = weights
  if (routing === undefined) return chooseExperts(likely, perToken, renormalised)
  return chooseExperts(routing(likely, isChosen(likely, perToken)), perToken, renormalised)
}

/** [N, E] 1 where an expert is among the k likeliest, else 0. */
const isChosen = (likely: Tensor2D, perToken: number): Tensor2D =>
  detached(() =>
    tf.tidy(() => {
      const { chosen } = chooseExperts(likely, perToken, false)
      return sharesOfAll({ chosen, shares: tf.onesLike(tf.cast(chosen, "float32")) }, likely.shape[1])
    })
  )

const isGrouped = (expert: Mlp, weights: Weights): weights is GroupedWeights =>
  weights.grouped !== undefined && expert.applyGrouped !== undefined

const canGroupOnDevice = (expert: Mlp, weights: Weights): boolean => isGrouped(expert, weights) && routesOnDevice()

const ownExperts = (
  expert: Mlp,
  weights: Weights,
  names: ReadonlyArray<string>,
  x: Tensor2D,
  { chosen, shares }: ExpertChoice
): Tensor2D => {
  if (isGrouped(expert, weights)) {
    const rows = expertRows(chosen, names.length)
    const outputs = expert.applyGrouped!(weights, names, dispatchRows(x, rows), rows.groups)
    return collectRows(outputs, shares, rows)
  }
  const rows = hostExpertRows(chosen, names.length)
  return collectRows(oneByOne(expert, weights, names, dispatchRows(x, rows), rows), shares, rows)
}

/** Each expert on its tokens, which lie side by side. */
const oneByOne = (
  expert: Mlp,
  weights: Weights,
  names: ReadonlyArray<string>,
  inputs: Tensor2D,
  { groups: { counts }, rowTokens }: HostExpertRows
): Tensor2D => {
  // an expert without a token has a gradient, which is 0
  const served = names.flatMap((_, e) => (counts[e]! > 0 || isDifferentiating() ? [e] : []))
  const parts = splitRows(
    inputs,
    served.map((e) => counts[e]!)
  )
  let first = 0
  const outputs = served.map((e, i) => {
    const own = weights.forTokens?.(rowTokens.subarray(first, (first += counts[e]!))) ?? weights
    return expert.apply(own, names[e]!, parts[i]!)
  })
  return tf.concat(outputs)
}

/** Σ_e shares_e · expert_e(x), for all experts, added up in float32 as those of chosen tokens are. Not differentiable. */
const everyExpert = (
  expert: Mlp,
  weights: Weights,
  names: ReadonlyArray<string>,
  x: Tensor2D,
  shares: Tensor2D
): Tensor2D => {
  const factors = narrowed(shares)
  const sum = names
    .map((name, e) => tf.mul(expert.apply(weights, name, x), tf.slice(factors, [0, e], [-1, 1])) as Tensor)
    .reduce((total, output) => tf.add(total, output), zeros([1, 1]))
  return narrowed(sum) as Tensor2D
}

/** Made on the device: what is recorded takes no values from the host. */
const zeros = (shape: [number, number]): Tensor => tf.fill(shape, 0)
