import { tf, type Tensor } from "../tf.ts"

type Save = (tensors: Array<Tensor>) => void

/** What a differentiable function returns: its value and the gradient of each input, in order. */
export interface Differentiated {
  readonly value: Tensor
  readonly gradFunc: (dy: Tensor, saved: Array<Tensor>) => Array<Tensor>
}

/** `tf.customGrad` with the types it has: `f` takes the inputs as a list and the tape's save function. */
export const customGradient = (
  inputs: ReadonlyArray<Tensor>,
  f: (inputs: ReadonlyArray<Tensor>, save: Save) => Differentiated
): Tensor => {
  const traced = (...tensorsAndSave: Array<unknown>) =>
    f(tensorsAndSave.slice(0, -1) as Array<Tensor>, tensorsAndSave.at(-1) as Save)
  return tf.customGrad(traced as unknown as Parameters<typeof tf.customGrad>[0])(...inputs)
}
