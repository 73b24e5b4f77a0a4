import { tf, type Tensor } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"

/**
 * x, for whose makers the backward pass calls `prepare` before it comes to them: once its gradient is there. Not at all where
 * no gradient goes through x.
 */
export const beforeBackward = <T extends Tensor>(x: T, prepare: () => void): T => {
  if (!tf.engine().isTapeOn()) return x
  return customGradient([x], ([input]) => ({
    // a tensor of its own on the tape
    value: tf.clone(input!),
    gradFunc: (dy) => {
      prepare()
      return [tf.clone(dy)]
    }
  })) as T
}
