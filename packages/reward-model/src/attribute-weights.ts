import type { Head } from "@plumbline/models"
import { tf, type Tensor1D, type Tensor2D } from "@plumbline/runtime"
import { Schema } from "effect"

/** What each attribute counts in a reward; those left out count 0. */
export type AttributeWeights = Readonly<Record<string, number>>

/** Weights name attributes that the head does not have, or are missing where it has several. */
export class AttributesUnknown extends Schema.TaggedError<AttributesUnknown>()("AttributesUnknown", {
  unknown: Schema.Array(Schema.String),
  attributes: Schema.Array(Schema.String)
}) {
  override get message() {
    const has = `the reward model scores ${this.attributes.join(", ")}`
    return this.unknown.length === 0 ? `${has}: say what each of them weighs` : `${has}, not ${this.unknown.join(", ")}`
  }
}

/**
 * HelpSteer2's weights of its 340B model's five attributes; verbosity counts against a response.
 *
 * @see Wang et al. 2024, https://arxiv.org/abs/2406.08673
 */
export const HELPSTEER2_340B: AttributeWeights = {
  helpfulness: 0.3,
  correctness: 0.74,
  coherence: 0.46,
  complexity: 0.47,
  verbosity: -0.33
}

/** The same of its Llama-3-70B model. */
export const HELPSTEER2_70B: AttributeWeights = {
  helpfulness: 0.65,
  correctness: 0.8,
  coherence: 0.45,
  complexity: 0.55,
  verbosity: -0.4
}

/** All attributes the same, 1/K: what NeMo-Aligner merges with where nothing else is said. */
export const equalWeights = ({ attributes }: Head): AttributeWeights =>
  Object.fromEntries(attributes.map((name) => [name, 1 / attributes.length]))

/** Why weights do not fit a head; undefined where they do. One attribute needs no weights. */
export const unfitWeights = (
  { attributes }: Head,
  weights: AttributeWeights | undefined
): AttributesUnknown | undefined => {
  const unknown = Object.keys(weights ?? {}).filter((name) => !attributes.includes(name))
  const needed = weights === undefined && attributes.length > 1
  return unknown.length > 0 || needed ? new AttributesUnknown({ unknown, attributes: [...attributes] }) : undefined
}

/** [K] in the head's order. Throws where they do not fit it, which `unfitWeights` tells before. */
export const weightsInOrder = (head: Head, weights: AttributeWeights | undefined): ReadonlyArray<number> => {
  const unfit = unfitWeights(head, weights)
  if (unfit !== undefined) throw unfit
  return head.attributes.map((name) => (weights === undefined ? 1 : (weights[name] ?? 0)))
}

/** Σ_k w_k·score_k: [R, K] → [R] */
export const weightedScores = (head: Head, scores: Tensor2D, weights: AttributeWeights | undefined): Tensor1D =>
  tf.sum(tf.mul(scores, tf.tensor1d([...weightsInOrder(head, weights)])), 1)
