import { gatedActivation, type GateFunction, squaredRelu, type Tensor2D } from "@plumbline/runtime"
import { linearParameters, type ParameterSpec } from "./parameter.ts"
import type { Weights } from "./weights.ts"

export interface MlpSize {
  readonly width: number
  readonly mlpWidth: number
  readonly bias: boolean
}

/** The token-wise part of a block: its parameters below `prefix`, and itself on [N, D]. */
export interface Mlp {
  readonly parameters: (prefix: string, size: MlpSize) => ReadonlyArray<ParameterSpec>
  readonly apply: (weights: Weights, prefix: string, x: Tensor2D) => Tensor2D
}

/** W_down(act(W_gate·x) · W_up·x). */
export const gatedMlp = (activation: GateFunction): Mlp => ({
  parameters: (prefix, { bias, mlpWidth, width }) => [
    ...linearParameters(`${prefix}.gate_proj`, mlpWidth, width, bias),
    ...linearParameters(`${prefix}.up_proj`, mlpWidth, width, bias),
    ...linearParameters(`${prefix}.down_proj`, width, mlpWidth, bias)
  ],
  apply: (weights, prefix, x) => {
    const [gate, up] = weights.linears(x, [`${prefix}.gate_proj`, `${prefix}.up_proj`])
    const gated = gatedActivation(gate!, up!, activation, weights.remakesActivations)
    return weights.linear(gated, `${prefix}.down_proj`)
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
