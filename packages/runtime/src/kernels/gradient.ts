import type { Tensor } from "../tf.ts"

/** A kernel's gradients, by input, each made only when something below that input is trained. */
export type Gradients = Readonly<Record<string, () => Tensor>>

export interface Gradient {
  readonly inputsToSave?: ReadonlyArray<string>
  /** For kernels whose inputs are a list. */
  readonly saveAllInputs?: boolean
  readonly outputsToSave?: ReadonlyArray<boolean>
  /** Whether it reads what reaches each output; all when absent. What it does not read is not made where nothing reaches it. */
  readonly reads?: ReadonlyArray<boolean>
  /** `dy` holds one gradient an output. */
  readonly gradients: (
    dy: ReadonlyArray<Tensor>,
    saved: ReadonlyArray<Tensor>,
    attrs: Record<string, unknown>
  ) => Gradients
}

/**
 * Gradients that come from one kernel are made at once, before tfjs asks for the first: it runs every thunk in a tidy of
 * its own, which would free the second gradient at the end of the first.
 */
export const together = (names: ReadonlyArray<string>, tensors: ReadonlyArray<Tensor>): Gradients => {
  const gradients: Record<string, () => Tensor> = {}
  for (let i = 0; i < names.length; i++) gradients[names[i]!] = () => tensors[i]!
  return gradients
}
