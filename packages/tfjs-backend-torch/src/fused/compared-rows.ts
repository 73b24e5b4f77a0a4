import type { Handle } from "../addon.ts"
import { aten, inScope } from "../aten.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"

// Products whose rows are to have the same bits however many there are. As no library promises that, it is seen to for each
// shape of a weight before the first use.

const [narrow, any, ne, view, sin, arange, to, scaled] = [
  aten("narrow"),
  aten("any"),
  aten("ne.Tensor"),
  aten("reshape"),
  aten("sin"),
  aten("arange"),
  aten("to.dtype"),
  aten("mul.Scalar")
]

/** A kind of product by a weight of one shape. */
interface ProductShape {
  /** Of which there is one for each kind and shape. */
  readonly name: string
  readonly inner: number
  readonly outputs: number
  /** Numbers of rows, which are compared with the most. */
  readonly compared: ReadonlyArray<number>
  readonly most: number
}

/** Names of what was found to be invariant, by the device. */
const known = new Set<string>()

/**
 * Compares products of few rows with those of many. What is recorded was run before, so its shapes are known.
 *
 * @param multiply made where there is something to compare: the product of the first so many of `most` rows
 * @throws BatchInvarianceUnavailable where a row's bits differ
 */
export const compareRowsOnce = (
  { compared, inner, most, name, outputs }: ProductShape,
  multiply: () => (rows: number) => Handle,
  { backend }: KernelScope
): void => {
  const key = `${backend.device}/${name}`
  if (known.has(key) || backend.isRecording) return
  inScope(() => {
    const multiplied = multiply()
    const all = multiplied(most)
    for (const count of compared.filter((each) => each < most)) {
      const differs = any(ne(multiplied(count), narrow(all, 0, 0, count)))
      if (backend.addon.toHost(differs, new Uint8Array(1))[0] !== 0)
        throw BatchInvarianceUnavailable.ofProduct(inner, outputs, [count, most], backend.addon.torchVersion)
    }
  })
  known.add(key)
}

/** Numbers from −1 to 1 that fill their mantissas. */
export const waves = (shape: [number, number], step: number, type: number, { backend }: KernelScope): Handle => {
  const count = shape[0] * shape[1]
  const places = arange(count, FLOAT32, undefined, backend.device)
  return view(to(sin(scaled(places, step)), type), shape)
}
