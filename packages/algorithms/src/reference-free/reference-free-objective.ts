import type { TokenizedPreference } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { LossSums, Objective } from "@plumbline/training"
import { responseSums } from "../preference/pair-log-probs.ts"
import type { ReferenceFreeBatch } from "./reference-free-batch.ts"
import type { PolicyLogProbs, ReferenceFreeLoss } from "./reference-free-loss.ts"

type Models = { readonly policy: CausalLM }

/** A loss that looks at the policy alone, as an objective: the mean over pairs plus the mean over imitated tokens. */
export const referenceFreeObjective = <Row extends TokenizedPreference>(
  loss: ReferenceFreeLoss<Row>
): Objective<Models, ReferenceFreeBatch> => ({
  counts: ({ chosenLengths, imitated, pairs, tokenWeights }) => ({
    pair: pairs,
    token: sum(tokenWeights),
    "chosen token": sum(chosenLengths),
    "imitated token": sum(imitated)
  }),
  loss: ({ policy }, batch) => pairSums(loss, policy, batch)
})

const sum = (values: Float32Array): number => values.reduce((total, value) => total + value, 0)

const pairSums = <Row extends TokenizedPreference>(
  loss: ReferenceFreeLoss<Row>,
  policy: CausalLM,
  batch: ReferenceFreeBatch
): LossSums => {
  const { imitated, pairs, rows, tokenWeights } = batch
  const scored = policy.tokenLogProbs(rows)
  const seen = pairLogProbs(loss, scored.logProbs, batch)
  const ofPair = rows.scored.rows.map((row) => row % pairs)
  const byPair = (values: Tensor1D, weights: Float32Array) =>
    sumByRow(tf.mul<Tensor1D>(values, tf.tensor1d(weights)), ofPair, pairs)
  const chosenWeights = tokenWeights.map((weight, m) => (rows.scored.rows[m]! < pairs ? weight : 0))
  const pair = (values: Tensor1D) => ({ unit: "pair", values })
  const crossEntropy = imitationTerm(loss.imitation?.weight, () => tf.neg(byPair(scored.logProbs, imitated)))
  return {
    terms: [pair(loss.perPair(seen)), ...crossEntropy],
    metrics: {
      ...Object.fromEntries(
        Object.entries(pairMetrics(loss, seen)).map(([name, values]) => [name, pair(values)] as const)
      ),
      // 0 where none is added, as TRL reports it
      nll_loss: crossEntropy.length === 0 ? pair(tf.zerosLike(seen.chosen)) : unweighted(crossEntropy),
      entropy: { unit: "token", values: byPair(scored.entropy, tokenWeights) },
      mean_token_accuracy: { unit: "chosen token", values: byPair(scored.correct, chosenWeights) }
    }
  }
}

const pairLogProbs = (
  { lengthNormalized }: Pick<ReferenceFreeLoss, "lengthNormalized">,
  logProbs: Tensor1D,
  batch: ReferenceFreeBatch
): PolicyLogProbs => {
  const { chosenLengths, pairs, rejectedLengths } = batch
  const sums = responseSums(logProbs, batch)
  const side = (start: number, lengths: Float32Array): Tensor1D => {
    const total = tf.slice(sums, start, pairs)
    return lengthNormalized ? tf.div<Tensor1D>(total, tf.tensor1d(lengths)) : total
  }
  return { chosen: side(0, chosenLengths), rejected: side(pairs, rejectedLengths) }
}

const imitationTerm = (weight: number | undefined, values: () => Tensor1D) =>
  weight === undefined ? [] : [{ unit: "imitated token", values: values(), weight }]

const unweighted = (terms: ReturnType<typeof imitationTerm>) => terms.map(({ unit, values }) => ({ unit, values }))

const pairMetrics = (
  { metrics, reward }: Pick<ReferenceFreeLoss, "metrics" | "reward">,
  seen: PolicyLogProbs
): Readonly<Record<string, Tensor1D>> => {
  const [chosen, rejected] = [reward(seen.chosen), reward(seen.rejected)]
  return {
    "rewards/chosen": chosen,
    "rewards/rejected": rejected,
    "rewards/margins": tf.sub(chosen, rejected),
    "rewards/accuracies": tf.cast(tf.greater(chosen, rejected), "float32"),
    "logps/chosen": seen.chosen,
    "logps/rejected": seen.rejected,
    ...metrics?.(seen)
  }
}
