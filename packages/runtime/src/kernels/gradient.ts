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
