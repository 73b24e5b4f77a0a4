import { tf, type Tensor } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"

/** What `body` gives, as a constant: no gradient flows through it. */
export const detached = <T extends Tensor>(body: () => T): T =>
  // the tape does not look inside a custom gradient, and drops one without inputs
  customGradient([], () => ({ value: body(), gradFunc: () => [] })) as T

/** Whether gradients are being made of what is computed now. */
export const isDifferentiating = (): boolean =>
  (tf.engine() as unknown as { readonly state: { readonly gradientDepth: number } }).state.gradientDepth > 0
