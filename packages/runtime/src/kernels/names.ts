import { tf, type NamedTensorMap, type Tensor } from "../tf.ts"

/** Kernels of our own. A backend that registers one is used; without it the op runs composed of tfjs ops. */
export const LINEAR = "PlumblineLinear"
export const ATTENTION = "PlumblineAttention"
export const EMBEDDING = "PlumblineEmbedding"
export const RMS_NORM = "PlumblineRmsNorm"
export const LAYER_NORM = "PlumblineLayerNorm"
export const ROTARY = "PlumblineRotary"
export const GATED_ACTIVATION = "PlumblineGatedActivation"
export const TOKEN_LOG_PROBS = "PlumblineTokenLogProbs"
export const UPDATE_ROWS = "PlumblineUpdateRows"
export const TENSOR_NORM = "PlumblineTensorNorm"
export const ADAMW = "PlumblineAdamW"

/** Whether the active backend implements `kernel`. */
export const hasKernel = (kernel: string): boolean => tf.getKernel(kernel, tf.getBackend()) != null

/** Runs one of our kernels on the tape: its registered gradient applies. `attrs` are host data. */
export const fused = <R extends Tensor | Array<Tensor>>(
  kernel: string,
  inputs: Record<string, Tensor>,
  attrs: Record<string, unknown> = {}
): R => tf.engine().runKernel(kernel, inputs as NamedTensorMap, attrs as never) as unknown as R
