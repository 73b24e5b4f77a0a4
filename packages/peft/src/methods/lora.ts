import type { JsonObject } from "@plumbline/models"
import { addProduct, tf } from "@plumbline/runtime"
import { AdapterUnfit } from "../errors.ts"
import { type AdapterMethod, type LinearAdapter, plainMethod } from "../method.ts"
import { ALL_LINEAR, endPattern, type LinearModule, type Selection } from "../targets.ts"
import { dora } from "./dora.ts"
import type { LoraInit, LoraNumbers, LoraPair } from "./lora-start.ts"
import { loraStarts } from "./lora-starts.ts"

export interface LoraOptions extends Partial<Selection> {
  readonly rank: number
  /** `rank` when absent, which makes the scale 1. */
  readonly alpha?: number | undefined
  /** Scale alpha/√rank in place of alpha/rank. @see Kalajdzievski 2023, https://arxiv.org/abs/2312.03732 */
  readonly rankStabilized?: boolean | undefined
  /** Magnitude and direction apart. @see Liu et al. 2024, https://arxiv.org/abs/2402.09353 */
  readonly decomposed?: boolean | undefined
  readonly dropout?: number | undefined
  /** Ranks of modules whose name, or its end, a pattern matches. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined
  readonly init?: LoraInit | undefined
  /** Learning rate of B over that of A. @see Hayou et al. 2024, https://arxiv.org/abs/2402.12354 */
  readonly plusRatio?: number | undefined
  readonly trainedModules?: ReadonlyArray<string> | undefined
  readonly biases?: AdapterMethod["biases"] | undefined
}

/**
 * y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ with A [r, I], B [O, r] and s = alpha/r. B starts at 0, so a new adapter changes nothing.
 *
 * Throws AdapterUnfit for ranks and scales that make no adapter.
 *
 * @see Hu et al. 2021, https://arxiv.org/abs/2106.09685
 */
export const lora = (options: LoraOptions): AdapterMethod => {
  const { biases = "none", decomposed = false, dropout = 0, init = "kaiming", trainedModules = [] } = options
  const start = loraStarts[init]
  const { stored } = start
  check(options)
  return {
    ...plainMethod,
    config: configOf(options),
    selection: selectionOf(options),
    patterns: [options.rankPattern, options.alphaPattern].flatMap((pattern) => Object.keys(pattern ?? {})),
    trainedModules,
    biases,
    dropout,
    // the magnitudes of a decomposed one are norms of rows, and the bias is taken off and put back: equal up to rounding
    startsNeutral: start.isNeutral && !decomposed,
    tensors: (module) => [
      ...start.tensors(module, numbersOf(module, options)),
      ...(decomposed ? [dora.magnitude(module)] : [])
    ],
    layer: (module, own) => {
      const numbers = numbersOf(module, options)
      const pair = start.pair(own)
      return decomposed ? dora.layer(pair, numbers.scale, own(dora.suffix)) : lowRank(pair, numbers)
    },
    ...(stored !== undefined && { stored: (module, own) => stored(module, numbersOf(module, options), own) })
  }
}

/** The layer plus scale·B·A. */
const lowRank = ({ a, b }: LoraPair, { rank, scale }: Pick<LoraNumbers, "rank" | "scale">): LinearAdapter => ({
  lowRank: { down: a, up: b, rank, scale },
  down: () => [a()],
  output: (y, [reduced]) => addProduct(y, reduced!, b(), scale),
  merge: ({ bias, weight }) => ({ weight: tf.add(weight, tf.mul(tf.matMul(b(), a()), scale)), bias })
})

/** Rank and scale of a module. */
export const numbersOf = ({ name }: Pick<LinearModule, "name">, options: LoraOptions): LoraNumbers => {
  const rank = matched(name, options.rankPattern) ?? options.rank
  const alpha = matched(name, options.alphaPattern) ?? options.alpha ?? options.rank
  const scale = alpha / (options.rankStabilized === true ? Math.sqrt(rank) : rank)
  return { rank, scale, plusRatio: options.plusRatio ?? 1 }
}

/** The value of the first pattern that the name, or an end of it, is. */
const matched = (name: string, patterns: Readonly<Record<string, number>> = {}): number | undefined =>
  Object.entries(patterns).find(([pattern]) => endPattern(pattern).test(name))?.[1]

const check = (options: LoraOptions): void => {
  const { alpha, dropout = 0, init, rank, rankPattern = {} } = options
  const ranks = [rank, ...Object.values(rankPattern)]
  const wrong = ranks.find((one) => !Number.isInteger(one) || one < 1)
  if (wrong !== undefined) throw unfit(`rank ${wrong} is no whole number from 1 on`)
  if (alpha !== undefined && !Number.isFinite(alpha)) throw unfit(`alpha ${alpha} is no number`)
  if (!(dropout >= 0 && dropout < 1)) throw unfit(`dropout ${dropout} is not in [0, 1)`)
  if (init === "pissa" && options.decomposed === true) {
    throw unfit("PiSSA splits the weight that DoRA takes the magnitudes of: leave one out")
  }
  const odd = init === "orthogonal" ? ranks.find((one) => one % 2 === 1) : undefined
  if (odd !== undefined) throw unfit(`orthogonal initialisation needs even ranks, and ${odd} is odd`)
}

const unfit = (reason: string) => new AdapterUnfit({ adapter: "LoRA", reason })

const selectionOf = ({ exclude, layers, targets = ALL_LINEAR }: LoraOptions): Selection => ({
  targets,
  exclude,
  layers
})

const BIASES = { none: "none", all: "all", adapted: "lora_only" } as const

/** Of what is stored, which may have a multiple of the rank at the same scale. */
const configOf = (options: LoraOptions): JsonObject => {
  const { alpha = options.rank, alphaPattern = {}, init = "kaiming", rank, rankPattern = {} } = options
  const { named, storedRanks: times } = loraStarts[init]
  const alphaTimes = options.rankStabilized === true ? Math.sqrt(times) : times
  return {
    peft_type: "LORA",
    r: rank * times,
    lora_alpha: alpha * alphaTimes,
    lora_dropout: options.dropout ?? 0,
    use_rslora: options.rankStabilized ?? false,
    use_dora: options.decomposed ?? false,
    rank_pattern: multiplied(rankPattern, times),
    alpha_pattern: multiplied(alphaPattern, alphaTimes),
    init_lora_weights: named,
    bias: BIASES[options.biases ?? "none"],
    fan_in_fan_out: false,
    lora_bias: false
  }
}

const multiplied = (pattern: Readonly<Record<string, number>>, times: number) =>
  Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, value * times]))
