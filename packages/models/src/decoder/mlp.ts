import { gatedActivation, type GateFunction, type RowGroups, squaredRelu, type Tensor2D } from "@plumbline/runtime"
import type { MixtureSize } from "./mixture.ts"
import { linearParameters, type ParameterSpec } from "./parameter.ts"
import type { Weights } from "./weights.ts"

export interface MlpSize {
  readonly width: number
  readonly mlpWidth: number
  readonly bias: boolean
}

export interface MlpPass {
  /** Whether the same operations are to serve other values, as those of a recorded step do; false when absent. */
  readonly isRecorded?: boolean
}

export type GroupedWeights = Weights & { readonly grouped: NonNullable<Weights["grouped"]> }

/** The token-wise part of a block: its parameters below `prefix`, and itself on [N, D]. */
export interface Mlp {
  readonly parameters: (prefix: string, size: MlpSize) => ReadonlyArray<ParameterSpec>
  readonly apply: (weights: Weights, prefix: string, x: Tensor2D, pass?: MlpPass) => Tensor2D
  /**
   * Many of its kind at once, each on rows of its own; absent where it has no such form.
   *
   * @param x      [N, D], the rows of each side by side
   * @param groups which rows are whose
   */
  readonly applyGrouped?: (
    weights: GroupedWeights,
    prefixes: ReadonlyArray<string>,
    x: Tensor2D,
    groups: RowGroups
  ) => Tensor2D
  /** What it is a mixture of, where it is one. */
  readonly mixture?: MixtureSize
}

/** What a family calls the linear layers of a gated MLP. */
export interface GatedNames {
  readonly gate: string
  readonly up: string
  readonly down: string
}

/** The names that most families give them. */
export const PROJECTIONS: GatedNames = { gate: "gate_proj", up: "up_proj", down: "down_proj" }

/** W_down(act(W_gate·x) · W_up·x). */
export const gatedMlp = (activation: GateFunction, { down, gate, up } = PROJECTIONS): Mlp => ({
  parameters: (prefix, { bias, mlpWidth, width }) => [
    ...linearParameters(`${prefix}.${gate}`, mlpWidth, width, bias),
    ...linearParameters(`${prefix}.${up}`, mlpWidth, width, bias),
    ...linearParameters(`${prefix}.${down}`, width, mlpWidth, bias)
  ],
  apply: (weights, prefix, x) => {
    const names = { gate: `${prefix}.${gate}`, up: `${prefix}.${up}`, down: `${prefix}.${down}` }
    const fused = weights.gatedMlp?.(x, names, activation)
    if (fused !== undefined) return fused
    const [gates, ups] = weights.linears(x, [names.gate, names.up])
    const gated = gatedActivation(gates!, ups!, activation, weights.remakesActivations)
    return weights.linear(gated, names.down)
  },
  applyGrouped: ({ grouped, remakesActivations }, prefixes, x, groups) => {
    const outer = prefixes.map((prefix) => [`${prefix}.${gate}`, `${prefix}.${up}`])
    const [gates, ups] = grouped(x, groups, outer)
    const gated = gatedActivation(gates!, ups!, activation, remakesActivations)
    return grouped(
      gated,
      groups,
      prefixes.map((prefix) => [`${prefix}.${down}`])
    )[0]!
  }
})

/** W_down·relu(W_up·x)². */
export const squaredReluMlp: Mlp = {
  parameters: (prefix, { bias, mlpWidth, width }) => [
    ...linearParameters(`${prefix}.up_proj`, mlpWidth, width, bias),
    ...linearParameters(`${prefix}.down_proj`, width, mlpWidth, bias)
  ],
  apply: (weights, prefix, x) =>
    weights.linear(squaredRelu(weights.linear(x, `${prefix}.up_proj`)), `${prefix}.down_proj`)
}
