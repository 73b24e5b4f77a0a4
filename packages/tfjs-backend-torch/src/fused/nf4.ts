import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { FLOAT32, INT32, STORAGE_TYPES } from "../scalar-type.ts"
import { launch, spread, storageMacro } from "./cuda/kernels.ts"
import { NF4_BLOCK, NF4_OUTER_BLOCK } from "./nf4-pack.ts"
import { cast, emptyOf } from "./storage.ts"

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

type Parts = Record<"codes" | "outer" | "scales", TensorInfo>

interface Attributes {
  readonly shape: readonly [number, number]
  readonly mean: number
  readonly levels: ReadonlyArray<number>
}

/** {codes, scales, outer}, {shape, mean, levels} → [O, I] in the storage of activations, rounded from float32 once. */
export const dequantizeNf4: Kernel = (parts: Parts, attrs: Attributes, scope) => {
  const type = STORAGE_TYPES[scope.backend.storage]
  const T = scope.backend.cuda === undefined ? undefined : storageMacro(type)
  const values = T === undefined ? composed(parts, attrs, type, scope) : onePass(parts, attrs, T, scope)
  return scope.out(values, "float32", attrs.shape)
}

const onePass = (
  { codes, outer, scales }: Parts,
  { levels, mean, shape }: Attributes,
  T: string,
  scope: KernelScope
) => {
  const out = emptyOf(shape, STORAGE_TYPES[scope.backend.storage], scope)
  const size = sizeOf(shape)
  if (size === 0) return out
  const args = [scope.of(codes), scope.of(scales), scope.of(outer), out, mean, size]
  launch("unfoldNf4", { ...spread(Math.ceil(size / 8)), macros: { T, W: 8, LEVELS: literals(levels) }, args }, scope)
  return out
}

const written = new WeakMap<ReadonlyArray<number>, string>()

/** The levels as CUDA reads float32 numbers. */
const literals = (levels: ReadonlyArray<number>): string => {
  const known = written.get(levels)
  if (known !== undefined) return known
  const text = levels.map((level) => `${Math.fround(level).toExponential()}f`).join(",")
  written.set(levels, text)
  return text
}

const composed = (
  { codes, outer, scales }: Parts,
  { levels, mean, shape }: Attributes,
  type: number,
  scope: KernelScope
): Handle => {
  const blocks = codes.shape[0]! / (NF4_BLOCK / 8)
  // bytes with a sign: (b xor 128) − 128
  const bytes = fields(scope.of(scales), 8, scope)
  xorInPlace(bytes, 128)
  subInPlace(bytes, 128)
  const grouped = mul(reshape(to(bytes, FLOAT32), [-1, NF4_OUTER_BLOCK]), unsqueeze(scope.of(outer), 1))
  const factors = narrow(add(reshape(grouped, [-1]), mean), 0, 0, blocks)
  const table = scope.upload(Float32Array.from(levels), [levels.length], FLOAT32)
  const numbers = reshape(indexSelect(table, 0, fields(scope.of(codes), 4, scope)), [blocks, NF4_BLOCK])
  mulInPlace(numbers, unsqueeze(factors, 1))
  return cast(reshape(narrow(reshape(numbers, [-1]), 0, 0, sizeOf(shape)), shape), type)
}

/** The fields of `bits` bits of each word, the lowest first, end to end: int32. */
const fields = (words: Handle, bits: number, scope: KernelScope): Handle => {
  const shifts = Int32Array.from({ length: 32 / bits }, (_, i) => i * bits)
  const parts = shift(unsqueeze(words, 1), scope.upload(shifts, [shifts.length], INT32))
  andInPlace(parts, 2 ** bits - 1)
  return reshape(parts, [-1])
}
