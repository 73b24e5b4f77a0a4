import type { JsonObject } from "@plumbline/models"
import { addProduct, type Tensor2D, tf } from "@plumbline/runtime"
import { AdapterUnfit } from "../errors.ts"
import { type AdapterMethod, type AdapterTensor, type LinearAdapter, plainMethod, zeros } from "../method.ts"
import { ALL_LINEAR, type LinearModule, type Selection, wholePattern } from "../targets.ts"
import { dora } from "./dora.ts"
import { orthogonalPair } from "./orthogonal.ts"

/** How the matrices of a new adapter begin. */
export type LoraInit = "kaiming" | "gaussian" | "orthogonal"

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
  check(options)
  return {
    ...plainMethod,
    config: configOf(options),
    selection: selectionOf(options),
    trainedModules,
    biases,
    dropout,
    // the magnitudes of a decomposed one are norms of rows, and the bias is taken off and put back: equal up to rounding
    startsNeutral: init !== "orthogonal" && !decomposed,
    tensors: (module) => [...matrices(module, options), ...(decomposed ? [dora.magnitude(module)] : [])],
    layer: (module, own) => {
      const { scale } = numbersOf(module, options)
      const [a, b] = [own("lora_A.weight") as Tensor2D, own("lora_B.weight") as Tensor2D]
      return decomposed ? dora.layer(a, b, scale, own(dora.suffix)) : lowRank(a, b, scale)
    }
  }
}

/** The layer plus scale·B·A. */
export const lowRank = (a: Tensor2D, b: Tensor2D, scale: number): LinearAdapter => ({
  down: () => [a],
  output: (y, [reduced]) => addProduct(y, reduced!, b, scale),
  merge: ({ bias, weight }) => ({ weight: tf.add(weight, tf.mul(tf.matMul(b, a), scale)), bias })
})

const matrices = (module: LinearModule, options: LoraOptions): ReadonlyArray<AdapterTensor> => {
  const { rank } = numbersOf(module, options)
  const [a, b] = [
    [rank, module.inputs],
    [module.outputs, rank]
  ] as const
  const { rate, ...start } = { rate: options.plusRatio ?? 1, ...STARTS[options.init ?? "kaiming"](module, rank) }
  return [
    { suffix: "lora_A.weight", shape: a, initial: start.a },
    { suffix: "lora_B.weight", shape: b, initial: start.b, rate }
  ]
}

type Start = Readonly<Record<"a" | "b", AdapterTensor["initial"]>>

/** As PEFT starts them. */
const STARTS: Readonly<Record<LoraInit, (module: LinearModule, rank: number) => Start>> = {
  // nn.Linear's: uniform within 1/√I
  kaiming: ({ inputs, outputs }, rank) => ({
    a: ({ uniform }) => zeros([rank, inputs]).map((_, i) => (2 * uniform(i) - 1) / Math.sqrt(inputs)),
    b: () => zeros([outputs, rank])
  }),
  gaussian: ({ inputs, outputs }, rank) => ({
    a: ({ normal }) => zeros([rank, inputs]).map((_, i) => normal(i) / rank),
    b: () => zeros([outputs, rank])
  }),
  orthogonal: orthogonalPair
}

/** Rank and scale of a module. */
export const numbersOf = ({ name }: Pick<LinearModule, "name">, options: LoraOptions) => {
  const rank = matched(name, options.rankPattern) ?? options.rank
  const alpha = matched(name, options.alphaPattern) ?? options.alpha ?? options.rank
  return { rank, scale: alpha / (options.rankStabilized === true ? Math.sqrt(rank) : rank) }
}

/** The value of the first pattern that the name, or an end of it, is. */
const matched = (name: string, patterns: Readonly<Record<string, number>> = {}): number | undefined =>
  Object.entries(patterns).find(([pattern]) => wholePattern(`(?:.*\\.)?(?:${pattern})`).test(name))?.[1]

const check = ({ alpha, dropout = 0, init, rank, rankPattern = {} }: LoraOptions): void => {
  const ranks = [rank, ...Object.values(rankPattern)]
  const wrong = ranks.find((one) => !Number.isInteger(one) || one < 1)
  if (wrong !== undefined) throw unfit(`rank ${wrong} is no whole number from 1 on`)
  if (alpha !== undefined && !Number.isFinite(alpha)) throw unfit(`alpha ${alpha} is no number`)
  if (!(dropout >= 0 && dropout < 1)) throw unfit(`dropout ${dropout} is not in [0, 1)`)
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

const configOf = (options: LoraOptions): JsonObject => ({
  peft_type: "LORA",
  r: options.rank,
  lora_alpha: options.alpha ?? options.rank,
  lora_dropout: options.dropout ?? 0,
  use_rslora: options.rankStabilized ?? false,
  use_dora: options.decomposed ?? false,
  rank_pattern: options.rankPattern ?? {},
  alpha_pattern: options.alphaPattern ?? {},
  init_lora_weights: { kaiming: true, gaussian: "gaussian", orthogonal: "orthogonal" }[options.init ?? "kaiming"],
  bias: BIASES[options.biases ?? "none"],
  fan_in_fan_out: false,
  lora_bias: false
})
