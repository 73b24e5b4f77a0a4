import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT32, STORAGE_TYPES } from "../scalar-type.ts"

const [shift, indexSelect, reshape, narrow, to, mul, add, unsqueeze] = [
  aten("bitwise_right_shift.Tensor"),
  aten("index_select"),
  aten("reshape"),
  aten("narrow"),
  aten("to.dtype"),
  aten("mul.Tensor"),
  aten("add.Scalar"),
  aten("unsqueeze")
]
const [andInPlace, subInPlace, xorInPlace, mulInPlace] = [
  atenInPlace("bitwise_and_.Scalar"),
  atenInPlace("sub_.Scalar"),
  atenInPlace("bitwise_xor_.Scalar"),
  atenInPlace("mul_.Tensor")
]

interface Attributes {
  readonly shape: readonly [number, number]
  readonly mean: number
  readonly levels: ReadonlyArray<number>
}

const BLOCK = 64
const OUTER_BLOCK = 256

/** The fields of `bits` bits of each word, the lowest first, end to end: int32. */
const fields = (words: Handle, bits: number, scope: KernelScope): Handle => {
  const shifts = Int32Array.from({ length: 32 / bits }, (_, i) => i * bits)
  const parts = shift(unsqueeze(words, 1), scope.upload(shifts, [shifts.length], INT32))
  andInPlace(parts, 2 ** bits - 1)
  return reshape(parts, [-1])
}

/** {codes, scales, outer}, {shape, mean, levels} → [O, I] in the storage of activations. */
export const dequantizeNf4: Kernel = (
  { codes, outer, scales }: Record<"codes" | "outer" | "scales", TensorInfo>,
  { levels, mean, shape }: Attributes,
  scope
) => {
  const type = STORAGE_TYPES[scope.backend.storage]
  const blocks = codes.shape[0]! / (BLOCK / 8)
  // bytes with a sign: (b xor 128) − 128
  const bytes = fields(scope.of(scales), 8, scope)
  xorInPlace(bytes, 128)
  subInPlace(bytes, 128)
  const grouped = mul(reshape(to(bytes, FLOAT32), [-1, OUTER_BLOCK]), unsqueeze(scope.of(outer), 1))
  const factors = narrow(add(reshape(grouped, [-1]), mean), 0, 0, blocks)
  const table = to(scope.upload(Float32Array.from(levels), [levels.length], FLOAT32), type)
  const numbers = reshape(indexSelect(table, 0, fields(scope.of(codes), 4, scope)), [blocks, BLOCK])
  mulInPlace(numbers, unsqueeze(to(factors, type), 1))
  const size = shape[0] * shape[1]
  return scope.out(reshape(narrow(reshape(numbers, [-1]), 0, 0, size), [...shape]), "float32", shape)
}
