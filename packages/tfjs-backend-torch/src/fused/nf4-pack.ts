import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { FLOAT32, FLOAT64, INT32 } from "../scalar-type.ts"
import { cast, emptyOf } from "./storage.ts"

// Packing to 4 bits where the matrix lies, by the same float32 and float64 operations as the host's reference, so that the
// bits agree. ATen divides by a number by way of its reciprocal, and by a tensor as IEEE says: divisors are tensors.

const [reshape, narrow, mul, add, sub, div, eq, maskedFill, pad, unsqueeze] = [
  aten("reshape"),
  aten("narrow"),
  aten("mul.Tensor"),
  aten("add.Tensor"),
  aten("sub.Tensor"),
  aten("div.Tensor"),
  aten("eq.Scalar"),
  aten("masked_fill.Scalar"),
  aten("constant_pad_nd"),
  aten("unsqueeze")
]
const [vectorNorm, sumOf, sumAlong, bucketize, shiftLeft, full] = [
  aten("linalg_vector_norm"),
  aten("sum"),
  aten("sum.dim_IntList"),
  aten("bucketize.Tensor"),
  aten("bitwise_left_shift.Tensor"),
  aten("full")
]
const [addInPlace, floorInPlace, andInPlace, copyInto] = [
  atenInPlace("add_.Scalar"),
  atenInPlace("floor_"),
  atenInPlace("bitwise_and_.Scalar"),
  atenInPlace("copy_")
]

/** Numbers that share a scale, and scales that share one. */
export const NF4_BLOCK = 64
export const NF4_OUTER_BLOCK = 256

/** Blocks rounded at a time, which bounds what that takes beside the matrix. */
const BLOCKS_AT_ONCE = 2 ** 17

/** {x}, {borders} → [codes, scales, outer, mean] */
export const quantizeNf4: Kernel = (
  { x }: Record<"x", TensorInfo>,
  { borders }: { readonly borders: Float32Array },
  scope
) => {
  const numbers = inGroups(reshape(scope.of(x), [-1]), sizeOf(x.shape), NF4_BLOCK)
  const largest = cast(vectorNorm(numbers, Infinity, [1]), FLOAT32)
  const { factors, ...scales } = packedScales(largest, scope)
  const codes = packedNumbers(numbers, factors, scope.upload(borders, [borders.length], FLOAT32), scope)
  const parts = [codes, scales.bytes, scales.outer, scales.mean]
  return parts.map((part, i) => scope.out(part, i < 2 ? "int32" : "float32"))
}

/** [⌈count/size⌉, size], zeros behind the last. */
const inGroups = (values: Handle, count: number, size: number): Handle => {
  const groups = Math.ceil(count / size)
  const missing = groups * size - count
  return reshape(missing === 0 ? values : pad(values, [0, missing], 0), [groups, size])
}

/** A divisor on the device. */
const float64 = (value: number, { backend }: KernelScope): Handle =>
  full([1], value, FLOAT64, undefined, backend.device)

/** What divides by 0 gives 0. */
const divisor = (values: Handle): Handle => unsqueeze(maskedFill(values, eq(values, 0), Infinity), 1)

/** @param largest [blocks] magnitudes. `factors`: what the bytes stand for, [blocks] float32 */
const packedScales = (largest: Handle, scope: KernelScope) => {
  const blocks = scope.backend.addon.shape(largest)[0]!
  const exact = cast(largest, FLOAT64)
  const mean = cast(div(sumOf(exact), float64(Math.max(1, blocks), scope)), FLOAT32)
  const centred = inGroups(sub(exact, mean), blocks, NF4_OUTER_BLOCK)
  const outer = cast(div(vectorNorm(centred, Infinity, [1]), float64(127, scope)), FLOAT32)
  const steps = div(centred, divisor(cast(outer, FLOAT64)))
  addInPlace(steps, 0.5)
  floorInPlace(steps)
  const bytes = cast(steps, INT32)
  const scaled = add(reshape(mul(cast(bytes, FLOAT32), unsqueeze(outer, 1)), [-1]), mean)
  andInPlace(bytes, 255)
  return { factors: narrow(scaled, 0, 0, blocks), bytes: words(bytes, 8, scope), outer, mean }
}

/** The nearest level of each number over its block's factor, eight a word. */
const packedNumbers = (numbers: Handle, factors: Handle, borders: Handle, scope: KernelScope): Handle => {
  const blocks = scope.backend.addon.shape(numbers)[0]!
  const each = NF4_BLOCK / 8
  const codes = emptyOf([blocks * each], INT32, scope)
  const divisors = divisor(factors)
  for (let first = 0; first < blocks; first += BLOCKS_AT_ONCE) {
    const count = Math.min(BLOCKS_AT_ONCE, blocks - first)
    scope.nested(() => {
      const part = cast(narrow(numbers, 0, first, count), FLOAT32)
      const levels = bucketize(div(part, narrow(divisors, 0, first, count)), borders, true, false)
      copyInto(narrow(codes, 0, first * each, count * each), words(levels, 4, scope))
    })
  }
  return codes
}

/** Whole numbers as fields of `bits` bits of words, the first in the lowest. */
const words = (values: Handle, bits: number, scope: KernelScope): Handle => {
  const shifts = Int32Array.from({ length: 32 / bits }, (_, i) => i * bits)
  const placed = shiftLeft(reshape(values, [-1, shifts.length]), scope.upload(shifts, [shifts.length], INT32))
  return sumAlong(placed, [1], false, INT32)
}
