import { Teacher } from "@plumbline/models"
import {
  batchFields,
  NonNegative,
  optimizationFields,
  option,
  optional,
  OptionsInvalid,
  Positive,
  PositiveInt,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields, UnitShare } from "../command-fields.ts"
import { policyWriter } from "../responses/generator-layer.ts"
import { responseOptions, rolloutFields, ROWS } from "../responses/rollout-fields.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { distillation, onPolicyDistillation } from "./distillation.ts"
import { DistillationData, taughtFiles } from "./distillation-data.ts"
import type { DistillationOptions } from "./distillation-objective.ts"
import {
  type DistillationLoss,
  forwardDivergence,
  generalizedJensenShannon,
  reverseDivergence,
  symmetricDivergence
} from "./divergence-loss.ts"
import type { TaughtRow } from "./stored-logits.ts"
import { TeacherLogits } from "./teacher-logits.ts"

/** What `--loss` can name. */
const losses: Readonly<
  Record<"forward_kl" | "reverse_kl" | "symmetric_kl" | "jsd", (beta: number) => DistillationLoss>
> = {
  forward_kl: forwardDivergence,
  reverse_kl: reverseDivergence,
  symmetric_kl: symmetricDivergence,
  jsd: (beta) => generalizedJensenShannon({ beta })
}

/** How the student writes; --top-k is the teacher's here. */
const { topK: _topK, ...ownResponses } = rolloutFields

export const DistillOptions = Schema.Struct({
  ...fileFields,
  teacher: optional(
    Schema.NonEmptyString,
    "folder of the teacher, asked at every step (default: the logits that plumb teacher-logits wrote to --train)"
  ),
  topK: optional(
    PositiveInt,
    "most likely tokens of each position that count (default: 100 of --teacher, all stored ones)"
  ),
  loss: option(
    Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>),
    "forward_kl",
    "divergence of student and teacher"
  ),
  beta: optional(UnitShare, "weight of the teacher in jsd's mixture (default: 0.5)"),
  tail: option(
    Schema.Literals(["bucket", "renormalize"]),
    "bucket",
    "tokens that the teacher does not name: one more outcome, or left out and the rest made whole"
  ),
  logitsScale: option(Positive, 1, "multiplies the student's logits (renormalize)"),
  targetLogitsScale: option(Positive, 1, "multiplies the teacher's logits (renormalize)"),
  kdLossWeight: option(NonNegative, 1, "weight of the divergence"),
  sftLossWeight: option(NonNegative, 0, "weight of the cross-entropy of the rows' own tokens"),
  onPolicy: option(
    UnitShare,
    0,
    "share of the steps at which the student itself answers the prompts of --train (needs --teacher)"
  ),
  ...ownResponses,
  ...batchFields,
  ...optimizationFields,
  ...runFields
})
export type DistillOptions = typeof DistillOptions.Type

/** `plumb distill`: the model of a folder learns from a teacher's distributions. */
export const distillCommand: Builtin<typeof DistillOptions, TaughtRow> = {
  name: "distill",
  options: DistillOptions,
  data: () => taughtFiles,
  referenceUse: ({ teacher }) => (teacher === undefined ? "never" : "every step"),
  run: (options: DistillOptions) =>
    Effect.gen(function* () {
      const how = yield* checked(options)
      const run = Effect.gen(function* () {
        const inputs = inputFiles({ ...options, reference: options.teacher })
        const shared = { options, inputs, extraFiles: yield* tokenizerOutput, highlights: ["kd_loss", "sft_loss"] }
        if (options.onPolicy === 0) return yield* runTraining({ ...shared, algorithm: distillation(how) })
        const onPolicy = { ...responseOptions({ ...options, topK: 0 }), share: options.onPolicy }
        const training = runTraining({ ...shared, algorithm: onPolicyDistillation(how, onPolicy) })
        return yield* Effect.provide(training, policyWriter(options, { rows: ROWS }))
      })
      const { teacher, topK } = options
      const told =
        teacher === undefined
          ? run.pipe(Effect.provide(TeacherLogits.layerStored(topK)))
          : run.pipe(
              Effect.provide(TeacherLogits.layerModel(topK ?? 100)),
              Effect.provide(Teacher.layerFromFolder(teacher))
            )
      return yield* told.pipe(
        Effect.provide(DistillationData.layerFiles(options)),
        Effect.provide(policyFolder(options))
      )
    })
}

/** The options of the objective, where they fit together. */
const checked = (options: DistillOptions): Effect.Effect<DistillationOptions, OptionsInvalid> => {
  const {
    beta,
    generatorUrl,
    kdLossWeight,
    logitsScale,
    loss,
    onPolicy,
    sftLossWeight,
    tail,
    targetLogitsScale,
    teacher
  } = options
  const refuse = (flag: string, reason: string) => Effect.fail(new OptionsInvalid({ option: flag, reason }))
  if (beta !== undefined && loss !== "jsd") return refuse("--beta", `is not read by --loss ${loss}`)
  if (tail === "bucket" && logitsScale !== 1) return refuse("--logits-scale", "is read by --tail renormalize alone")
  if (tail === "bucket" && targetLogitsScale !== 1) {
    return refuse("--target-logits-scale", "is read by --tail renormalize alone")
  }
  if (kdLossWeight === 0 && sftLossWeight === 0) return refuse("--kd-loss-weight", "both losses weigh nothing")
  if (onPolicy > 0 && teacher === undefined) {
    return refuse("--on-policy", "nobody stored what the teacher says of responses to come: give --teacher")
  }
  if (onPolicy === 0 && generatorUrl !== undefined) {
    return refuse("--generator-url", "writes the student's own responses: give --on-policy, too")
  }
  return Effect.succeed({
    loss: losses[loss](beta ?? 0.5),
    tail,
    logitsScale,
    targetLogitsScale,
    divergenceWeight: kdLossWeight,
    crossEntropyWeight: sftLossWeight
  })
}
