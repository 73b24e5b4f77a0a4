import { collate, type TokenizedRow, type Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import { philoxStream, Processes } from "@plumbline/runtime"
import { type Algorithm, type Dataset, shareWork, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { type ResponseOptions, writeResponses } from "../responses/responses.ts"
import { lastAnswer } from "../supervised/last-answer.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { DistillationData, type TaughtUnit } from "./distillation-data.ts"
import { type DistillationBatch, distillationObjective, type DistillationOptions } from "./distillation-objective.ts"
import { TeacherLogits } from "./teacher-logits.ts"

type Needs = Policy | DistillationData | TeacherLogits

/**
 * Knowledge distillation on rows that somebody wrote: see `distillationObjective`.
 *
 * The teacher's logits are stored with the rows, or made at every step.
 */
export const distillation = (
  options: DistillationOptions
): Algorithm<{ readonly policy: CausalLM }, DistillationBatch, never, Needs> => ({
  ...taught(options),
  name: "distillation",
  config: recorded(options),
  experience: (position) => writtenBatches(DistillationData, position, batches)
})

export interface OnPolicyOptions extends Omit<ResponseOptions, "samples"> {
  /** λ in (0, 1]: share of the steps that learn from the student's own responses; the others learn from the rows. */
  readonly share: number
}

/**
 * On-policy distillation: at a share λ of the steps the student itself answers the rows' prompts, and the teacher says of every
 * token what it would have said there. So the student learns where it goes astray.
 *
 * @see Agarwal et al. 2024 (GKD), Algorithm 1, https://arxiv.org/abs/2306.13649
 */
export const onPolicyDistillation = (
  options: DistillationOptions,
  onPolicy: OnPolicyOptions
): Algorithm<{ readonly policy: CausalLM }, DistillationBatch, GenerationError, Needs | Generator | Tokenizer> => ({
  ...taught(options),
  name: "on-policy-distillation",
  config: { ...recorded(options), onPolicy },
  experience: (position) =>
    writtenBatches(DistillationData, position, (data, units, step) => onPolicyBatches(data, units, step, onPolicy))
})

const recorded = ({ loss, ...rest }: DistillationOptions) => ({ loss: { name: loss.name, ...loss.options }, ...rest })

const taught = (options: DistillationOptions) => ({
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(DistillationData, ({ sampler }) => sampler.stepsPerEpoch),
  heldOut: Effect.flatMap(DistillationData, (data) => batches(data, data.heldOut)),
  objective: distillationObjective(options)
})

const batches = Effect.fnUntraced(function* (data: Dataset<TaughtUnit>, units: ReadonlyArray<TaughtUnit>) {
  const teacher = yield* TeacherLogits
  return shareWork(yield* Processes, splitUnits(units, data.split), (part): DistillationBatch => {
    const rows = collate(
      part.map(({ row }) => row),
      data
    )
    return {
      rows,
      teacher: teacher.of(
        part.map(({ row }) => row),
        rows
      ),
      tokens: part.reduce((total, { tokens }) => total + tokens, 0),
      origins: part.map(({ origin }) => origin)
    }
  })
})

const onPolicyBatches = Effect.fnUntraced(function* (
  data: Dataset<TaughtUnit>,
  units: ReadonlyArray<TaughtUnit>,
  step: number,
  { share, ...options }: OnPolicyOptions
) {
  if (philoxStream(options.seed, "on-policy").uniform(step) >= share) return yield* batches(data, units)
  const prompts = units.map(({ row }) => lastAnswer(row).prompt)
  const written = yield* writeResponses(prompts, step, { ...options, samples: 1, maxLength: data.maxLength })
  const own = units.map((unit, i) => answered(unit, written[i]![0]!.row))
  return yield* batches(data, own)
})

const answered = ({ origin }: TaughtUnit, row: TokenizedRow): TaughtUnit => ({ row, tokens: row.ids.length, origin })
