import {
  addRowsById,
  detached,
  gatherRows,
  isDifferentiating,
  narrowed,
  type Tensor,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import { type ExpertGroups, expertGroups } from "./expert-groups.ts"
import type { Mlp, MlpSize } from "./mlp.ts"
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
 * Which experts a token has is read by the host, once a layer: the tokens of each then lie side by side, and go through its
 * linear layers in products of all experts, or as those of any MLP do where layers are adapted or in 4 bits. No token is
 * dropped, and none waits for another's. What is recorded cannot be different work for other values: every token goes through
 * every expert there, and those that are not its own count for 0.
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
        const { chosen, shares } = routed(weights, prefix, x, options)
        const mixed = isRecorded
          ? everyExpert(expert, weights, names(prefix), x, shares)
          : ownExperts(expert, weights, names(prefix), x, shares, groupsOf(chosen, options))
        return sharedWidth === undefined ? mixed : tf.add(mixed, sharedExpert(expert, weights, prefix, x))
      })
  }
}

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

const groupsOf = (chosen: Tensor2D, { experts, perToken }: MixtureSize): ExpertGroups =>
  expertGroups(chosen.dataSync() as Int32Array, perToken, experts)

/** [N, k] int32 the experts of each token, and [N, E] what each counts for, 0 for those that are not its own. */
const routed = (
  weights: Weights,
  prefix: string,
  x: Tensor2D,
  { experts, perToken, renormalised }: MixtureOptions
): { readonly chosen: Tensor2D; readonly shares: Tensor2D } => {
  // unlike softmax it is computed in float32 whatever the logits are stored in
  const likely = tf.exp(tf.logSoftmax(weights.linear(x, `${prefix}.gate`))) as Tensor2D
  const chosen = detached(() => tf.tidy(() => tf.topk(likely, perToken).indices as Tensor2D))
  const isChosen = detached(() => tf.tidy(() => membership(chosen, experts)))
  const seen = tf.mul(weights.routing?.(likely, isChosen) ?? likely, isChosen) as Tensor2D
  return { chosen, shares: renormalised ? tf.div(seen, tf.sum(seen, 1, true)) : seen }
}

/** [N, k] indices → [N, E] 1 where an expert is among them. */
const membership = (chosen: Tensor2D, experts: number): Tensor2D => {
  // of integers: wasm's of floats are not numbers; and no range, whose values would cross to the device
  const each = tf.oneHot(chosen, Math.max(2, experts), 1, 0, "int32")
  return tf.slice(tf.sum(tf.cast(each, "float32"), 1) as Tensor2D, [0, 0], [-1, experts])
}

const ownExperts = (
  expert: Mlp,
  weights: Weights,
  names: ReadonlyArray<string>,
  x: Tensor2D,
  shares: Tensor2D,
  groups: ExpertGroups
): Tensor2D => {
  const { places, tokens } = groups
  const inputs = gatherRows(x, tokens)
  const { grouped } = weights
  const outputs =
    grouped === undefined || expert.applyGrouped === undefined
      ? oneByOne(expert, weights, names, inputs, groups)
      : expert.applyGrouped({ ...weights, grouped }, names, inputs, groups.counts)
  const factors = gatherRows(tf.reshape(shares, [-1, 1]) as Tensor2D, places)
  return addRowsById(tf.mul(outputs, factors), tokens, x.shape[0])
}

/** Each expert on its tokens, which lie side by side. */
const oneByOne = (
  expert: Mlp,
  weights: Weights,
  names: ReadonlyArray<string>,
  inputs: Tensor2D,
  { counts, tokens }: ExpertGroups
): Tensor2D => {
  // an expert without a token has a gradient, which is 0
  const served = names.flatMap((_, e) => (counts[e]! > 0 || isDifferentiating() ? [e] : []))
  const parts = tf.split(
    inputs,
    served.map((e) => counts[e]!)
  ) as ReadonlyArray<Tensor2D>
  let first = 0
  const outputs = served.map((e, i) => {
    const own = weights.forTokens?.(tokens.subarray(first, (first += counts[e]!))) ?? weights
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
