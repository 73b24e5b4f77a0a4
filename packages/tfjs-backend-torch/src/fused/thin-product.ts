import type { Handle } from "../addon.ts"
import type { KernelScope } from "../kernel.ts"
import { BFLOAT16 } from "../scalar-type.ts"
import { launch } from "./cuda/kernels.ts"
import { emptyOf } from "./storage.ts"

// Groups of so few rows that reading their weights is most of the work, by a kernel of our own.

/** Warps of a block. */
const WARPS = 8
/** Warps a multiprocessor is to have at least, so that enough is on its way from memory. */
const BUSY = 16
/** Numbers that an output adds up in one warp at least. */
const LEAST_SHARE = 256
/** Rows of a group on average up to which this is quicker than libtorch's product of groups. */
const MOST_ROWS = 8

/** Rows of 8 that a warp has at a time, and outputs of 16. */
interface Tile {
  readonly NT: number
  readonly MT: number
}

/** For groups that have as many rows on average. */
const tileFor = (rows: number): Tile => (rows <= 4 ? { NT: 1, MT: 1 } : { NT: 2, MT: 2 })

export interface ThinProduct {
  /** [N, I], in memory order */
  readonly rows: Handle
  /** [G·O, I], in memory order; O and I of 8 numbers or multiples */
  readonly matrices: Handle
  /** [G] int32 where the rows of each group end */
  readonly ends: Handle
  readonly shape: { readonly rows: number; readonly groups: number; readonly outputs: number; readonly inner: number }
}

/** Whether groups have few rows, as far as can be told. */
export const areFewRows = (rows: number, groups: number): boolean => rows <= MOST_ROWS * groups

/** [N, O] in bfloat16: the rows of each group by the transpose of its matrix. */
export const thinProduct = ({ ends, matrices, rows, shape }: ThinProduct, scope: KernelScope): Handle => {
  const out = emptyOf([shape.rows, shape.outputs], BFLOAT16, scope)
  const busy = Math.min(shape.rows, shape.groups)
  const { MT, NT } = tileFor(shape.rows / busy)
  const warps = busy * Math.ceil(shape.outputs / (16 * MT))
  const wanted = BUSY * scope.backend.cuda!.multiprocessors
  let SPLIT = 1
  while (SPLIT < WARPS && warps * SPLIT < wanted && shape.inner / (2 * SPLIT) >= LEAST_SHARE) SPLIT *= 2
  const blocks = Math.ceil(shape.outputs / ((16 * MT * WARPS) / SPLIT))
  launch(
    "thinProduct",
    {
      blocks: blocks * shape.groups,
      threads: 32 * WARPS,
      macros: { T: "bf16", W: 8, NT, MT, SPLIT },
      args: [rows, matrices, ends, out, shape.outputs, shape.inner, blocks]
    },
    scope
  )
  return out
}
