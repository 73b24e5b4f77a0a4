import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Coupling, coupledObjective, type LossSums, type Objective } from "@plumbline/training"
import { responseLogProbs, responseSums } from "../preference/pair-log-probs.ts"
import type { ReferencedRows, UnpairedBatch } from "./unpaired-batch.ts"
import type { Baseline, UnpairedLoss } from "./unpaired-loss.ts"

type Models = { readonly policy: CausalLM }

/** The loss of judged responses as an objective; log-probs of a response are sums over its scored tokens. */
export const unpairedObjective = (loss: UnpairedLoss): Objective<Models, UnpairedBatch> =>
  coupledObjective({
    counts: ({ desirable, rows }) => {
      const chosen = desirable.reduce((total, value) => total + value, 0)
      return {
        response: desirable.length,
        chosen,
        rejected: desirable.length - chosen,
        token: rows.scored.targets.length
      }
    },
    coupling: baselineCoupling(loss.baseline),
    loss: (models, batch, baseline: number) => responseLosses(loss, models, batch, baseline)
  })

const measuredRows: Readonly<Record<Baseline["over"], (batch: UnpairedBatch) => ReferencedRows | undefined>> = {
  nothing: () => undefined,
  responses: (batch) => batch,
  mismatched: ({ mismatched }) => mismatched
}

/** Log-ratios of the whole global batch make one number, which every micro-batch is told. */
const baselineCoupling = (baseline: Baseline): Coupling<Models, UnpairedBatch, Float32Array, number> => {
  const { of, over, remember } = baseline
  return {
    measure: ({ policy }, batch) => {
      const measured = measuredRows[over](batch)
      if (measured === undefined) return new Float32Array(0)
      return responseLogProbs(policy, measured).map((logProb, r) => logProb - measured.referenceLogProbs[r]!)
    },
    share: (parts, memory) => {
      const value = of(joined(parts), memory)
      return parts.map(() => value)
    },
    ...(remember === undefined ? {} : { remember: (parts, memory) => remember(joined(parts), memory) })
  }
}

const joined = (parts: ReadonlyArray<Float32Array>): Float32Array =>
  Float32Array.from(parts.flatMap((part) => [...part]))

const responseLosses = (loss: UnpairedLoss, { policy }: Models, batch: UnpairedBatch, baseline: number): LossSums => {
  const { rows } = batch
  const scored = policy.tokenLogProbs(rows)
  const logProbs = responseSums(scored.logProbs, batch)
  const logRatios = tf.sub<Tensor1D>(logProbs, tf.tensor1d(batch.referenceLogProbs))
  const desirable = tf.tensor1d(batch.desirable)
  return {
    terms: [{ unit: "response", values: loss.perResponse({ logRatios, desirable, baseline }) }],
    metrics: {
      ...classMetrics(tf.mul<Tensor1D>(loss.beta, logRatios), logProbs, desirable),
      [loss.baseline.metric]: { unit: "response", values: tf.mul<Tensor1D>(baseline, tf.onesLike(desirable)) },
      entropy: { unit: "token", values: sumByRow(scored.entropy, rows.scored.rows, desirable.size) }
    }
  }
}

/** Means over either class, in the words of pairs: chosen = desirable, rejected = undesirable. */
const classMetrics = (rewards: Tensor1D, logProbs: Tensor1D, desirable: Tensor1D) => {
  const chosen = (values: Tensor1D) => ({ unit: "chosen", values: tf.mul<Tensor1D>(values, desirable) })
  const rejected = (values: Tensor1D) => ({
    unit: "rejected",
    values: tf.mul<Tensor1D>(values, tf.sub(1, desirable))
  })
  return {
    "rewards/chosen": chosen(rewards),
    "rewards/rejected": rejected(rewards),
    "rewards/margins": [chosen(rewards), { ...rejected(rewards), weight: -1 }],
    "logps/chosen": chosen(logProbs),
    "logps/rejected": rejected(logProbs)
  }
}
