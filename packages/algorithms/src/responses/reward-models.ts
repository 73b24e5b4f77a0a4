import { Tokenizer, type TokenizerShape } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { AdapterInvalid, baseFolderOf, isAdapterFolder, readMethod } from "@plumbline/peft"
import {
  connectReward,
  equalWeights,
  modelReward,
  type RewardGroup,
  type RewardTerm,
  unfitWeights
} from "@plumbline/reward-model"
import { patientHttp } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { type HeldBase, policyBase } from "../held-base.ts"
import { namedWeights } from "../reward-model/named-weights.ts"
import { openRewardModel } from "../reward-model/open-reward-model.ts"
import { isAddress } from "./address.ts"
import { rewardGroup } from "./judged-responses.ts"
import { PromptData, type PromptUnit } from "./prompt-data.ts"

/** Where the policy is from. */
export interface PolicyFolder {
  readonly model: string
  readonly quantised?: boolean | undefined
}

interface PlacedModel {
  /** A folder or an address. */
  readonly place: string
  readonly weight: number
}

interface JudgingOptions extends PolicyFolder {
  readonly attributeWeights?: ReadonlyArray<string> | undefined
  readonly rewardTimeout: number
}

/** Reward models of folders and servers as terms of a reward. Each has judged a trial row. Models go with the scope. */
export const rewardModelTerms = Effect.fnUntraced(function* (
  models: ReadonlyArray<PlacedModel>,
  options: JudgingOptions
) {
  if (models.length === 0) return []
  if (options.attributeWeights !== undefined && models.every(({ place }) => isAddress(place))) {
    const reason = "a server weighs its attributes itself: give it to plumb serve"
    return yield* new OptionsInvalid({ option: "--attribute-weights", reason })
  }
  const held = exactBase(yield* Policy, options)
  const tokenizer = yield* Tokenizer
  const trial = trialGroup(tokenizer, (yield* PromptData).units[0]!)
  const open = Effect.fnUntraced(function* ({ place, weight }: PlacedModel, i: number) {
    const name = models.length === 1 ? "reward_model" : `reward_model_${i + 1}`
    const opening = { ...options, held, place, name, tokenizer, trial }
    const reward = isAddress(place) ? yield* servedReward(opening) : yield* folderReward(opening)
    const term: RewardTerm = { reward, weight }
    return term
  })
  return yield* Effect.forEach(models, open)
})

/** The model below the policy's adapter, unless it is in 4 bits, in which a reward model was not trained. */
const exactBase = (policy: CausalLM, { model, quantised }: PolicyFolder): HeldBase | undefined =>
  quantised === true ? undefined : policyBase(policy, model)

interface Opening extends JudgingOptions {
  readonly held: HeldBase | undefined
  readonly place: string
  readonly name: string
  /** The policy's. */
  readonly tokenizer: TokenizerShape
  readonly trial: RewardGroup
}

const servedReward = Effect.fnUntraced(function* ({ name, place, rewardTimeout, tokenizer, trial }: Opening) {
  const options = {
    url: scoringAddress(place),
    name,
    deadlineSeconds: rewardTimeout,
    ...(process.env["PLUMBLINE_TOKEN"] && { token: process.env["PLUMBLINE_TOKEN"] })
  }
  const connected = connectReward(options, { tokenizer: tokenizer.digest, trial })
  // its connections are used as long as the reward
  return yield* Effect.provide(connected, yield* Layer.build(patientHttp))
})

/** Where `plumb serve` at an address scores; what has a path of its own is another server's, and is taken as it is. */
const scoringAddress = (place: string): string => {
  const bare = place.replace(/\/+$/, "")
  const [, path = ""] = /^\w+:\/\/[^/]+(\/.*)?$/.exec(bare) ?? []
  return path === "" ? `${bare}/v1/rewards` : path === "/v1" ? `${bare}/rewards` : bare
}

/** Rows are the policy's token ids where the model reads the same ones, else their texts. */
const folderReward = Effect.fnUntraced(function* ({ attributeWeights, held, name, place, tokenizer }: Opening) {
  const opened = yield* openRewardModel({ ...(yield* modelAndAdapter(place)), held })
  const { head } = opened.model
  const weights = yield* namedWeights(attributeWeights)
  const unfit = unfitWeights(head, weights ?? equalWeights(head))
  if (unfit !== undefined) return yield* unfit
  return modelReward(opened.model, {
    name,
    attributeWeights: weights ?? equalWeights(head),
    tokenizer: opened.tokenizer.digest === tokenizer.digest ? undefined : opened.tokenizer
  })
})

/** A folder of a reward model, or of an adapter that names the model it is on. */
const modelAndAdapter = Effect.fnUntraced(function* (place: string) {
  if (!isAdapterFolder(place)) return { model: place }
  const model = baseFolderOf((yield* readMethod(place)).fields, place)
  if (model !== undefined) return { model, adapter: place }
  const reason = "names no base model that is here: plumb merge --model BASE --adapter DIR makes a model of both"
  return yield* new AdapterInvalid({ file: place, reason })
})

/** A row to try a reward with: the first prompt, and nothing said to it. */
const trialGroup = (tokenizer: TokenizerShape, unit: PromptUnit): RewardGroup => {
  const group = rewardGroup(tokenizer, unit, [])
  return { ...group, responses: [{ ids: new Int32Array(0), text: "" }] }
}
