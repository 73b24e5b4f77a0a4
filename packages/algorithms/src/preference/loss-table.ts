import { OptionsInvalid } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { aot, aotUnpaired } from "./aot.ts"
import { apoDown, apoZero } from "./apo.ts"
import { bcoPair } from "./bco-pair.ts"
import { discopop } from "./discopop.ts"
import { alphaDivergence, type Divergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { dpo } from "./dpo.ts"
import { exo } from "./exo.ts"
import { hinge } from "./hinge.ts"
import { ipo, ipoSum } from "./ipo.ts"
import { lengthDesensitized } from "./ld-dpo.ts"
import type { LossInvalid } from "../loss-invalid.ts"
import { chosenCrossEntropy, mix, type WeightedLoss } from "./mix.ts"
import { nca } from "./nca.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { robust } from "./robust.ts"
import { rpoBackwardKl, rpoForwardKl, rpoSquared } from "./rpo.ts"
import { sigmoidNorm } from "./sigmoid-norm.ts"
import { sppoHard } from "./sppo.ts"
import { onPolicyWeighted } from "./wpo.ts"

/** Flags that some losses or divergences read and others do not, each with the value at which it does nothing. */
const neutral = { labelSmoothing: 0, fDivergence: "reverse_kl", alpha: 0.5, discopopTau: 0.05, eta: 1 } as const

type SomeRead = ReadonlyArray<keyof typeof neutral>

interface DivergenceChoice {
  readonly make: (alpha: number) => Divergence
  readonly reads: SomeRead
}

/** Distance of α from 1 below which float32 holds nothing of the score but rounding; TRL's, too. */
const NEAR_LIMIT = 1e-6

/** What `--f-divergence` can name. */
const divergences = {
  reverse_kl: { make: () => reverseKl, reads: [] },
  forward_kl: { make: () => forwardKl, reads: [] },
  js_divergence: { make: () => jensenShannon, reads: [] },
  alpha_divergence: {
    make: (alpha) => (Math.abs(alpha - 1) < NEAR_LIMIT ? reverseKl : alphaDivergence(alpha)),
    reads: ["alpha"]
  }
} satisfies Readonly<Record<string, DivergenceChoice>>

export const DivergenceName = Schema.Literals(Object.keys(divergences) as ReadonlyArray<keyof typeof divergences>)

interface Settings {
  readonly beta: number
  readonly labelSmoothing: number
  readonly divergence: Divergence
  readonly discopopTau: number
  readonly eta: number
}

interface LossChoice {
  readonly make: (settings: Settings) => PreferenceLoss
  readonly reads: SomeRead
}

/** What `--loss` can name; the names are TRL's (its online ipo is ipo_sum here), and NeMo-Aligner's for rpo. */
const losses = {
  sigmoid: { make: dpo, reads: ["labelSmoothing", "fDivergence"] },
  hinge: { make: hinge, reads: ["fDivergence"] },
  ipo: { make: ipo, reads: ["fDivergence"] },
  ipo_sum: { make: ipoSum, reads: ["fDivergence"] },
  exo_pair: { make: exo, reads: ["labelSmoothing", "fDivergence"] },
  nca_pair: { make: nca, reads: [] },
  robust: { make: robust, reads: ["labelSmoothing", "fDivergence"] },
  bco_pair: { make: bcoPair, reads: [] },
  sppo_hard: { make: sppoHard, reads: [] },
  aot: { make: aot, reads: ["labelSmoothing"] },
  aot_unpaired: { make: aotUnpaired, reads: ["labelSmoothing"] },
  apo_zero: { make: apoZero, reads: [] },
  apo_down: { make: apoDown, reads: [] },
  discopop: {
    make: ({ discopopTau, ...settings }) => discopop({ ...settings, temperature: discopopTau }),
    reads: ["fDivergence", "discopopTau"]
  },
  sigmoid_norm: { make: sigmoidNorm, reads: ["fDivergence"] },
  rpo_sq: { make: ({ beta, eta }) => rpoSquared({ beta, rewardScale: eta }), reads: ["eta"] },
  rpo_bwd_kl: { make: ({ beta, eta }) => rpoBackwardKl({ beta, rewardScale: eta }), reads: ["eta"] },
  rpo_fwd_kl: { make: ({ beta, eta }) => rpoForwardKl({ beta, rewardScale: eta }), reads: ["eta"] },
  sft: { make: ({ beta }) => ({ ...chosenCrossEntropy, beta }), reads: [] }
} satisfies Readonly<Record<string, LossChoice>>

type PairLossName = keyof typeof losses
export const PairLossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<PairLossName>)

/** Flags that describe a loss on pairs. */
export interface LossFlags extends Omit<Settings, "divergence"> {
  readonly loss: ReadonlyArray<PairLossName>
  readonly lossWeights?: ReadonlyArray<number> | undefined
  readonly fDivergence: keyof typeof divergences
  readonly alpha: number
  readonly ldAlpha?: number | undefined
  readonly wpo: boolean
}

/** The loss that the flags describe; flags that no chosen loss reads are refused. */
export const lossFromOptions = Effect.fnUntraced(function* (flags: LossFlags) {
  const { loss: names, lossWeights = names.map(() => 1) } = flags
  if (names.length === 0) return yield* new OptionsInvalid({ option: "--loss", reason: "names no loss" })
  if (lossWeights.length !== names.length) {
    const reason = `${lossWeights.length} weights for ${names.length} losses`
    return yield* new OptionsInvalid({ option: "--loss-weights", reason })
  }
  const unread = unreadFlag(flags)
  if (unread !== undefined) {
    return yield* new OptionsInvalid({
      option: unread,
      reason: `is not read by --loss ${names.join(",")} with --f-divergence ${flags.fDivergence}`
    })
  }
  return yield* Effect.try({
    try: () => modified(flags, lossWeights),
    catch: (cause) => cause as LossInvalid
  })
})

const modified = (flags: LossFlags, weights: ReadonlyArray<number>): PreferenceLoss => {
  const settings: Settings = { ...flags, divergence: divergences[flags.fDivergence].make(flags.alpha) }
  const parts = flags.loss.map((name, i): WeightedLoss => ({ loss: losses[name].make(settings), weight: weights[i]! }))
  const [first, ...rest] = parts
  const plain = rest.length === 0 && first!.weight === 1 ? first!.loss : mix([first!, ...rest])
  const cut = flags.ldAlpha === undefined ? plain : lengthDesensitized(plain, { alpha: flags.ldAlpha })
  return flags.wpo ? onPolicyWeighted(cut) : cut
}

const unreadFlag = (flags: LossFlags): string | undefined => {
  const choices: ReadonlyArray<{ readonly reads: SomeRead }> = [
    divergences[flags.fDivergence],
    ...flags.loss.map((name) => losses[name])
  ]
  const read = new Set(choices.flatMap(({ reads }) => reads))
  const field = (Object.keys(neutral) as SomeRead).find((name) => flags[name] !== neutral[name] && !read.has(name))
  return field === undefined ? undefined : flagNames[field]
}

const flagNames: Readonly<Record<keyof typeof neutral, string>> = {
  labelSmoothing: "--label-smoothing",
  fDivergence: "--f-divergence",
  alpha: "--alpha",
  discopopTau: "--discopop-tau",
  eta: "--eta"
}
