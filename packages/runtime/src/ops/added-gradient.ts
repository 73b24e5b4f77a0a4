import { tf, type Tensor } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"

/** x as it is, whose gradient `addend` joins in the backward pass. @param addend of x's shape, or broadcast to it; asked for then */
export const addedGradient = <T extends Tensor>(x: T, addend: () => Tensor): T =>
  customGradient([x], ([value]) => ({
    value: tf.clone(value!),
    gradFunc: (dy) => [tf.tidy(() => tf.add(dy, addend()))]
  })) as T
