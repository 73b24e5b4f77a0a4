import type { Handle } from "../addon.ts"
import { aten, inScope } from "../aten.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import { typeOf } from "../handle-facts.ts"
import type { KernelScope } from "../kernel.ts"
import { INT32 } from "../scalar-type.ts"
import { shapeOf } from "./cuda/launches.ts"
import { waves } from "./product-invariant.ts"

// Products of groups of rows add up along the common axis in one order, however many rows a group has and whatever the others
// have. As libtorch does not promise it, it is seen to for each shape of the weights before the first use.

/** Rows of a group that are compared with many. */
const COMPARED = [1, 2, 7, 16, 17, 64, 65, 100, 128, 200, 256, 300, 512, 1000]
const MOST = 1024

const [narrow, any, ne] = [aten("narrow"), aten("any"), aten("ne.Tensor")]
const groupedProduct = aten("_grouped_mm")

/** Shapes that were found to be invariant, by the device. */
const known = new Set<string>()

/**
 * Multiplies other rows by the first group's matrix, in numbers from few to many, with all others empty, and compares. What is
 * recorded was run before, so its shapes are known.
 *
 * @param matrices [G, I, O]
 * @throws BatchInvarianceUnavailable where a row's bits differ
 */
export const compareGroupsOnce = (matrices: Handle, groups: number, scope: KernelScope): void => {
  const { backend } = scope
  const [, inner, outputs] = shapeOf(matrices, scope) as [number, number, number]
  const key = `${backend.device}/${groups}/${inner}/${outputs}`
  if (known.has(key) || backend.isRecording) return
  inScope(() => {
    const rows = waves([MOST, inner], 0.71, typeOf(matrices), scope)
    const multiplied = (count: number) => {
      const ends = scope.upload(new Int32Array(groups).fill(count), [groups], INT32)
      return groupedProduct(narrow(rows, 0, 0, count), matrices, ends)
    }
    const all = multiplied(MOST)
    for (const count of COMPARED) {
      const differs = any(ne(multiplied(count), narrow(all, 0, 0, count)))
      if (backend.addon.toHost(differs, new Uint8Array(1))[0] !== 0)
        throw BatchInvarianceUnavailable.ofProduct(inner, outputs, [count, MOST], backend.addon.torchVersion)
    }
  })
  known.add(key)
}
