import { flagName } from "@plumbline/data"
import { patientHttp } from "@plumbline/rollout-generation"
import {
  NonNegative,
  NonNegativeInt,
  option,
  optional,
  OptionsInvalid,
  Positive,
  PositiveInt
} from "@plumbline/training"
import { type AdapterOptions, baseFolderOf, readMethod } from "@plumbline/peft"
import { Policy } from "@plumbline/models"
import { Effect, Layer, Schema } from "effect"
import { UnitShare } from "../../command-fields.ts"
import { generalizedAdvantage } from "../advantages/generalized.ts"
import { tokenMean } from "../aggregation.ts"
import { criticFolder } from "../critic/critic-folder.ts"
import { Critic } from "../critic/critic.ts"
import { remoteCriticLayer } from "../critic/remote-critic.ts"
import { clip } from "../surrogates/clip.ts"
import { boundsOf, checkedSurrogate } from "./loss-table.ts"
import { policyBase } from "../../held-base.ts"
import { onlineCommand } from "./online-command.ts"
import type { OnlineFlags } from "./online-options.ts"
import { KlPlace } from "./rollout-fields.ts"

const own = {
  critic: optional(
    Schema.NonEmptyString,
    "folder of the model the critic starts from: a reward model, or one that gets a new head (default: --model)"
  ),
  criticLoraRank: optional(
    PositiveInt,
    "train as the critic an adapter of this rank and a head, on a model that stays as it is: where that is the one below the policy's adapter, it is held once"
  ),
  criticAdapter: optional(
    Schema.NonEmptyString,
    "the same from an adapter that is there, such as a reward model's (--critic is then by default the model that it names)"
  ),
  criticUrl: optional(
    Schema.NonEmptyString,
    "instead of a critic of this process one of plumb serve-critic, e.g. http://127.0.0.1:8001; its token in PLUMBLINE_TOKEN"
  ),
  criticTimeout: option(
    Positive,
    600,
    "seconds after which a served critic that does not answer ends the run; one that is stopped ends it sooner"
  ),
  criticLearningRate: option(Positive, 9e-6, "learning rate of the critic's AdamW, constant"),
  criticWarmup: option(NonNegativeInt, 0, "rollouts that teach the critic alone, before the first step"),
  valueClip: option(NonNegative, 0.2, "values gain nothing beyond this distance from the old ones; 0 = off"),
  discount: option(Positive, 1, "what a reward one token later is worth"),
  gaeLambda: option(UnitShare, 0.95, "0 trusts the critic from the next token on, 1 rewards alone"),
  whitenAdvantages: option(Schema.Boolean, true, "advantages with mean 0 and variance 1 over the rollout's tokens"),
  samples: option(PositiveInt, 1, "responses to each prompt"),
  klPlace: option(KlPlace, "reward", "whether the KL is a term of the loss or taken from rewards")
} as const

/** `plumb ppo`: proximal policy optimization with a critic. */
export const ppoCommand = onlineCommand({
  name: "ppo",
  own,
  estimatorInReward: "abs",
  folders: ({ critic, criticAdapter }) => [critic, criticAdapter].filter((folder) => folder !== undefined),
  algorithm: (flags, shared) =>
    Effect.gen(function* () {
      const { discount, gaeLambda } = flags
      const surrogate = yield* checkedSurrogate(() => clip(boundsOf(flags)))
      const services = yield* criticLayer(flags)
      return {
        ...shared,
        name: "ppo",
        advantage: generalizedAdvantage({ discount, gaeLambda, whiten: flags.whitenAdvantages }),
        surrogate,
        aggregation: tokenMean(),
        critic: Effect.provide(Critic, services),
        criticWarmup: flags.criticWarmup
      }
    })
})

type PpoFlags = OnlineFlags & Schema.Struct<typeof own>["Type"]

const criticLayer = Effect.fnUntraced(function* (flags: PpoFlags) {
  const { criticAdapter, criticLoraRank, criticUrl: url, criticTimeout: deadlineSeconds } = flags
  const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
  if (url !== undefined) {
    const given = ["critic", "criticLoraRank", "criticAdapter"] as const
    const unread = given.find((field) => flags[field] !== undefined)
    if (unread !== undefined) {
      return yield* refuse(flagName(unread), "the served critic has its own model: leave out this or --critic-url")
    }
    const options = { url, token: process.env["PLUMBLINE_TOKEN"], deadlineSeconds }
    return yield* Layer.build(Layer.provide(remoteCriticLayer(options), patientHttp))
  }
  if (criticAdapter !== undefined && criticLoraRank !== undefined) {
    return yield* refuse(
      "--critic-lora-rank",
      "begins a new adapter, and --critic-adapter goes on with one: leave one out"
    )
  }
  const folder = flags.critic ?? (yield* baseOf(criticAdapter)) ?? flags.model
  const held = policyBase(yield* Policy, flags.model)
  const adapter: AdapterOptions = {
    ...(criticAdapter !== undefined && { adapter: criticAdapter }),
    ...(criticLoraRank !== undefined && { loraRank: criticLoraRank })
  }
  return yield* Layer.build(criticFolder(folder, { ...flags, learningRate: flags.criticLearningRate, adapter, held }))
})

/** The model that an adapter names, where it is there. */
const baseOf = Effect.fnUntraced(function* (adapter: string | undefined) {
  return adapter === undefined ? undefined : baseFolderOf((yield* readMethod(adapter)).fields, adapter)
})
