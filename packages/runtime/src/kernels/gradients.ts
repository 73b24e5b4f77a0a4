import { addable } from "../backward-pass.ts"
import { type FollowedGradient, isAsked } from "../tape-reach.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import { type Gradient, together } from "./gradient.ts"
import { reshape as reshaped, sameAs } from "./plain-ops.ts"
import { productGradients } from "./product-gradients.ts"
import { routingGradients } from "./routing-gradients.ts"
import {
  ADD_EMBEDDING_GRADIENT,
  ADD_RMS_NORM,
  ADD_RMS_NORM_GRADIENT,
  ATTENTION,
  ATTENTION_GRADIENT,
  EMBEDDING,
  EMBEDDING_GRADIENT,
  fused,
  GATED_ACTIVATION,
  GATED_ACTIVATION_GRADIENT,
  hasKernel,
  LAYER_NORM,
  LAYER_NORM_GRADIENT,
  RESHAPE,
  RMS_NORM,
  RMS_NORM_GRADIENT,
  ROTARY,
  ROTARY_ATTENTION,
  ROTARY_ATTENTION_GRADIENT,
  ROTARY_HEADS,
  SCALE_ROWS,
  SQUARED_RELU,
  SQUARED_RELU_GRADIENT,
  TAKE_ROWS,
  TOKEN_LOG_PROBS,
  TOKEN_LOG_PROBS_WEIGHT_GRADIENT
} from "./names.ts"

const attention: Gradient = {
  inputsToSave: ["q", "k", "v"],
  outputsToSave: [true, true],
  reads: [true, false],
  gradients: ([dy], [q, k, v, out, logNormalizer], attrs) => {
    const inputs = { q: q!, k: k!, v: v!, out: out!, logNormalizer: logNormalizer!, dy: dy! }
    return together(["q", "k", "v"], fused<Array<Tensor>>(ATTENTION_GRADIENT, inputs, attrs))
  }
}

const rotaryAttention: Gradient = {
  inputsToSave: ["v", "cos", "sin"],
  outputsToSave: [true, true, true, true],
  reads: [true, false, false, false],
  gradients: ([dy], [v, cos, sin, out, logNormalizer, q, k], attrs) => {
    const saved = { q: q!, k: k!, v: v!, cos: cos!, sin: sin!, out: out!, logNormalizer: logNormalizer! }
    return together(["q", "k", "v"], fused<Array<Tensor>>(ROTARY_ATTENTION_GRADIENT, { ...saved, dy: dy! }, attrs))
  }
}

const embedding: Gradient = {
  inputsToSave: ["weight"],
  gradients: ([dy], [weight], { ids }) => {
    const make = () => fused<Tensor>(EMBEDDING_GRADIENT, { dy: dy! }, { ids, rows: weight!.shape[0] })
    const addedTo = (sum: Tensor) =>
      hasKernel(ADD_EMBEDDING_GRADIENT)
        ? fused<Tensor>(ADD_EMBEDDING_GRADIENT, { sum, dy: dy! }, { ids })
        : tf.add(sum, make())
    return { weight: addable(make, addedTo) }
  }
}

const rowSums: Gradient = {
  gradients: ([dy], _, { ids }) => ({ dy: () => fused(TAKE_ROWS, { x: dy! }, { ids }) })
}

/** The numbers of a norm, and whether its gradient kernel is to make those of the weight (and bias) too. */
const ofNorm = (attrs: Record<string, unknown>) => ({
  ...attrs,
  withWeight: isAsked(attrs, "weight") || isAsked(attrs, "bias")
})

const rmsNorm: Gradient = {
  inputsToSave: ["x", "weight"],
  gradients: ([dy], [x, weight], attrs) => {
    const inputs = { x: x!, weight: weight!, dy: dy! }
    return together(["x", "weight"], fused<Array<Tensor>>(RMS_NORM_GRADIENT, inputs, ofNorm(attrs)))
  }
}

/** Both summands have the sum's gradient. */
const addRmsNorm: Gradient = {
  inputsToSave: ["weight"],
  outputsToSave: [true, false],
  gradients: ([dsum, dy], [weight, sum], attrs) => {
    const inputs = { sum: sum!, weight: weight!, dsum: dsum!, dy: dy! }
    const [dx, dweight] = fused<Array<Tensor>>(ADD_RMS_NORM_GRADIENT, inputs, ofNorm(attrs))
    return { x: () => dx!, addend: () => sameAs(dx!), weight: () => dweight! }
  }
}

const layerNorm: Gradient = {
  inputsToSave: ["x", "weight"],
  gradients: ([dy], [x, weight], attrs) => {
    const inputs = { x: x!, weight: weight!, dy: dy! }
    return together(["x", "weight", "bias"], fused<Array<Tensor>>(LAYER_NORM_GRADIENT, inputs, ofNorm(attrs)))
  }
}

const rotary: Gradient = {
  inputsToSave: ["cos", "sin"],
  gradients: ([dy], [cos, sin], { inverse }) => ({
    x: () => fused(ROTARY, { x: dy!, cos: cos!, sin: sin! }, { inverse: inverse !== true })
  })
}

const rotaryHeads: Gradient = {
  inputsToSave: ["cos", "sin"],
  gradients: ([q, k, v], [cos, sin], { inverse }) => {
    const inputs = { q: q!, k: k!, v: v!, cos: cos!, sin: sin! }
    return together(["q", "k", "v"], fused<Array<Tensor>>(ROTARY_HEADS, inputs, { inverse: inverse !== true }))
  }
}

const gatedActivation: Gradient = {
  inputsToSave: ["gate", "up"],
  gradients: ([dy], [gate, up], attrs) =>
    together(["gate", "up"], fused<Array<Tensor>>(GATED_ACTIVATION_GRADIENT, { gate: gate!, up: up!, dy: dy! }, attrs))
}

const squaredRelu: Gradient = {
  inputsToSave: ["x"],
  gradients: ([dy], [x]) => ({ x: () => fused(SQUARED_RELU_GRADIENT, { x: x!, dy: dy! }) })
}

/** Only the log-probs carry a gradient; that of the hidden states was prepared in the forward pass, up to its factor. */
const tokenLogProbs: Gradient = {
  inputsToSave: ["hidden", "weight"],
  outputsToSave: [false, false, false, true, true],
  reads: [true, false, false, false, false],
  gradients: ([dy], [hidden, weight, logNormalizer, slopes], attrs) => ({
    hidden: () => fused<Tensor2D>(SCALE_ROWS, { x: slopes!, factors: dy! }),
    weight: () => {
      const inputs = { hidden: hidden!, weight: weight!, logNormalizer: logNormalizer!, dy: dy! }
      return fused<Tensor2D>(TOKEN_LOG_PROBS_WEIGHT_GRADIENT, inputs, attrs)
    }
  })
}

/** In place of tfjs's own, which does the same by way of `tf.reshape`. */
const reshape: Gradient = {
  inputsToSave: ["x"],
  gradients: ([dy], [x]) => ({ x: () => reshaped(dy!, x!.shape) })
}

const gradients: Readonly<Record<string, Gradient>> = {
  ...productGradients,
  ...routingGradients,
  [ATTENTION]: attention,
  [EMBEDDING]: embedding,
  [EMBEDDING_GRADIENT]: rowSums,
  [RESHAPE]: reshape,
  [RMS_NORM]: rmsNorm,
  [ADD_RMS_NORM]: addRmsNorm,
  [LAYER_NORM]: layerNorm,
  [ROTARY]: rotary,
  [ROTARY_ATTENTION]: rotaryAttention,
  [ROTARY_HEADS]: rotaryHeads,
  [GATED_ACTIVATION]: gatedActivation,
  [SQUARED_RELU]: squaredRelu,
  [TOKEN_LOG_PROBS]: tokenLogProbs
}

const ours = new Set<unknown>()

/** Makes our kernels differentiable, on every backend that has them. */
export const registerGradients = (): void => {
  for (const [
    kernelName,
    { gradients: make, inputsToSave = [], outputsToSave = [], reads, saveAllInputs = false }
  ] of Object.entries(gradients)) {
    const before = tf.getGradient(kernelName)
    if (ours.has(before)) continue
    if (before != null) tf.unregisterGradient(kernelName)
    const config: FollowedGradient = {
      kernelName,
      inputsToSave: [...inputsToSave],
      saveAllInputs,
      outputsToSave: [...outputsToSave],
      reads,
      gradFunc: (dy, saved, attrs) =>
        make(Array.isArray(dy) ? dy : [dy], saved, attrs as Record<string, unknown>) as Record<string, () => Tensor>
    }
    tf.registerGradient(config)
    ours.add(config)
  }
}
