import type { StoredTensor } from "@plumbline/models"
import type { Tensor2D } from "@plumbline/runtime"
import type { AdapterTensor, Found } from "../method.ts"
import type { LinearModule } from "../targets.ts"

/** How the matrices of a new adapter begin. */
export type LoraInit = "kaiming" | "gaussian" | "orthogonal" | "pissa"

/** What of a module and of options its matrices follow from. */
export interface LoraNumbers {
  readonly rank: number
  readonly scale: number
  /** Learning rate of B over that of A. */
  readonly plusRatio: number
}

/** A way to begin: which tensors there are, and what A and B are made of them. */
export interface LoraStart {
  /** In PEFT's configuration, of what is stored. */
  readonly named: boolean | string
  /** Whether B·A = 0 at first, bit for bit. */
  readonly isNeutral: boolean
  /** What is stored has so many times the rank. */
  readonly storedRanks: number
  readonly tensors: (module: LinearModule, numbers: LoraNumbers) => ReadonlyArray<AdapterTensor>
  /** A [R, I] and B [O, R]; under `tidy`, and differentiable */
  readonly pair: (own: Found) => LoraPair
  readonly stored?: (module: LinearModule, numbers: LoraNumbers, own: Found) => Readonly<Record<string, StoredTensor>>
}

export interface LoraPair {
  readonly a: () => Tensor2D
  readonly b: () => Tensor2D
}
