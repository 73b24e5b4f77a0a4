import type { Tensor } from "../tf.ts"
import { type Gradient, together } from "./gradient.ts"
import {
  CHOOSE_EXPERTS,
  CHOOSE_EXPERTS_GRADIENT,
  COLLECT_ROWS,
  COLLECT_ROWS_GRADIENT,
  DISPATCH_ROWS,
  fused
} from "./names.ts"

/** Which experts are chosen is a constant. */
const chooseExperts: Gradient = {
  inputsToSave: ["probabilities"],
  outputsToSave: [true, true],
  reads: [false, true],
  gradients: ([, dy], [probabilities, chosen, shares], { renormalised }) => {
    const inputs = { probabilities: probabilities!, chosen: chosen!, shares: shares!, dy: dy! }
    return { probabilities: () => fused(CHOOSE_EXPERTS_GRADIENT, inputs, { renormalised }) }
  }
}

const dispatchRows: Gradient = {
  inputsToSave: ["places"],
  gradients: ([dy], [places], { perToken }) => ({
    x: () => fused(COLLECT_ROWS, { y: dy!, places: places! }, { perToken })
  })
}

const collectRows: Gradient = {
  inputsToSave: ["y", "shares", "order"],
  gradients: ([dy], [y, shares, order], { perToken }) => {
    const inputs = { y: y!, shares: shares!, order: order!, dy: dy! }
    return together(["y", "shares"], fused<Array<Tensor>>(COLLECT_ROWS_GRADIENT, inputs, { perToken }))
  }
}

/** Of the ways of tokens to their experts and back. */
export const routingGradients: Readonly<Record<string, Gradient>> = {
  [CHOOSE_EXPERTS]: chooseExperts,
  [DISPATCH_ROWS]: dispatchRows,
  [COLLECT_ROWS]: collectRows
}
