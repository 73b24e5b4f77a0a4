import { EXPERT_ORDER } from "../kernels/names.ts"
import {
  chooseExperts,
  collectRows,
  composedChoice,
  dispatchRows,
  type ExpertChoice,
  type ExpertRows,
  expertRows,
  hostExpertRows
} from "../ops/expert-rows.ts"
import { groupedLinears } from "../ops/grouped-linears.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import type { Draw } from "./random-draw.ts"
import { layersOf, type Make, matrix } from "./random-shapes.ts"
import { noise } from "./tensors.ts"

interface Mixture {
  readonly tokens: number
  readonly experts: number
  readonly perToken: number
  readonly renormalised: boolean
}

const mixtureOf = (draw: Draw): Mixture => {
  const experts = draw.one([1, 2, 8, 33, 70])
  return {
    tokens: draw.one([1, 2 * draw.whole(1, 40) + 1, draw.whole(2, 300)]),
    experts,
    perToken: Math.min(experts, draw.one([1, 2, 3, 40])),
    renormalised: draw.one([true, false])
  }
}

const titleOf = ({ experts, perToken, renormalised, tokens }: Mixture): string =>
  `${tokens} tokens, ${perToken} of ${experts} experts${renormalised ? ", renormalised" : ""}`

/** Probabilities that differ by more than bfloat16 rounds, and whose ranks do not depend on rounding. */
const probabilities = ({ experts, tokens }: Mixture): Tensor2D =>
  tf.tidy(() => tf.softmax(tf.mul(noise([tokens, experts], "router"), 2)) as Tensor2D)

type Choose = (probabilities: Tensor2D) => ExpertChoice
type Route = (chosen: Tensor2D) => ExpertRows

/** x through an expert of one layer each and back. */
const routed =
  (choose: Choose, route: Route) =>
  (x: Tensor2D, likely: Tensor2D, ...weights: ReadonlyArray<Tensor2D>): Tensor =>
    tf.tidy(() => {
      const { chosen, shares } = choose(likely)
      const rows = route(chosen)
      const layers = weights.map((weight) => [[weight, undefined] as const])
      return collectRows(groupedLinears(dispatchRows(x, rows), rows.groups, layers)[0]!, shares, rows)
    })

const mixtures: Make = (draw) => {
  const mixture = mixtureOf(draw)
  const { experts, perToken, renormalised, tokens } = mixture
  // the second needs zeros behind its rows where a product takes eight numbers at a time
  const [width, outputs] = [draw.one([8, 24, 64]), draw.one([16, 13, 72])]
  return {
    shape: `${titleOf(mixture)}, ${width} → ${outputs}`,
    kernel: EXPERT_ORDER,
    activations: 1,
    inputs: () => [
      noise([tokens, width], "x"),
      probabilities(mixture),
      ...Array.from({ length: experts }, (_, e) => matrix(outputs, width, `expert ${e}`))
    ],
    op: routed(
      (likely) => chooseExperts(likely, perToken, renormalised),
      (chosen) => expertRows(chosen, experts)
    ),
    composed: routed(
      (likely) => composedChoice(likely, perToken, renormalised),
      (chosen) => hostExpertRows(chosen, experts)
    )
  }
}

/** The ways of tokens to their experts and back, and where groups end known to the device alone. */
export const routingCases = layersOf({ mixture: mixtures })
