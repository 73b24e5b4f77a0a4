import { type DataType, type TensorInfo, util } from "@tensorflow/tfjs-core"
import { aten } from "../aten.ts"
import { keepsUniform, type Kernel, type Kernels, type KernelScope, sizeOf } from "../kernel.ts"
import { FLOAT32, scalarTypeOf, stored } from "../scalar-type.ts"

const [full, zerosLike, fullLike, softmax, multinomialOf, diagEmbed, reshape] = [
  aten("full"),
  aten("zeros_like"),
  aten("full_like"),
  aten("softmax.int"),
  aten("multinomial"),
  aten("diag_embed"),
  aten("reshape")
]

interface Fill {
  readonly shape: Array<number>
  readonly value: number | string
  readonly dtype?: DataType
}

const fill: Kernel = (_, { dtype, shape, value }: Fill, scope) => {
  const type = dtype ?? util.inferDtype(value)
  if (type === "string") {
    const text = util.encodeString(value as string)
    return hosted(
      Array.from({ length: sizeOf(shape) }, () => text),
      shape,
      type,
      scope
    )
  }
  return scope.out(
    full(shape, stored(value as number, type), scalarTypeOf(type), undefined, scope.backend.device),
    type,
    shape
  )
}

const hosted = (
  values: Parameters<KernelScope["backend"]["write"]>[0],
  shape: Array<number>,
  dtype: DataType,
  scope: KernelScope
): TensorInfo => ({ dataId: scope.backend.write(values, shape, dtype), shape, dtype })

interface One {
  readonly x: TensorInfo
}

const zeros: Kernel = ({ x }: One, _, scope) =>
  x.dtype === "string"
    ? hosted(
        Array.from({ length: sizeOf(x.shape) }, () => util.encodeString("")),
        x.shape,
        x.dtype,
        scope
      )
    : scope.out(zerosLike(scope.of(x)), x.dtype, x.shape)

const ones: Kernel = ({ x }: One, _, scope) => {
  if (x.dtype === "string") throw new Error("onesLike is not supported under string dtype")
  return scope.out(fullLike(scope.of(x), 1), x.dtype, x.shape)
}

interface LinSpace {
  readonly start: number
  readonly stop: number
  readonly num: number
}

const linSpace: Kernel = (_, { num, start, stop }: LinSpace, scope) => {
  const values = Float32Array.from({ length: num }, (__, i) =>
    i === 0 ? start : start + (i * (stop - start)) / (num - 1)
  )
  return hosted(values, [num], "float32", scope)
}

interface Range {
  readonly start: number
  readonly stop: number
  readonly step: number
  readonly dtype: "float32" | "int32"
}

const range: Kernel = (_, { dtype, start, step, stop }: Range, scope) => {
  const away = start === stop || (start < stop && step < 0) || (stop < start && step > 1)
  const pace = stop < start && step === 1 ? -1 : step
  const count = away ? 0 : Math.abs(Math.ceil((stop - start) / pace))
  // Added up in the tensor's own precision, as tfjs's other backends do.
  const values = util.makeZerosTypedArray(count, dtype)
  for (let i = 0; i < count; i++) values[i] = i === 0 ? start : values[i - 1]! + pace
  return hosted(values, [count], dtype, scope)
}

interface Multinomial {
  readonly numSamples: number
  readonly seed: number
  readonly normalized: boolean
}

const multinomial: Kernel = (
  { logits }: { readonly logits: TensorInfo },
  { normalized, numSamples, seed }: Multinomial,
  scope
) => {
  // Seeds are whole numbers or, by default, fractions; libtorch's generator takes 32 bits.
  scope.backend.addon.seed((Math.trunc(seed) ^ Math.trunc((seed % 1) * 2 ** 32)) >>> 0)
  const probabilities = normalized ? scope.of(logits) : softmax(scope.of(logits), -1, FLOAT32)
  return scope.out(multinomialOf(probabilities, numSamples, true), "int32", [logits.shape[0]!, numSamples])
}

const diag: Kernel = ({ x }: One, _, scope) => {
  const size = sizeOf(x.shape)
  const matrix = diagEmbed(reshape(scope.of(x), [size]))
  return scope.out(reshape(matrix, [...x.shape, ...x.shape]), x.dtype, [...x.shape, ...x.shape])
}

export const creationKernels: Kernels = {
  Diag: diag,
  Fill: keepsUniform(fill),
  LinSpace: linSpace,
  Multinomial: multinomial,
  OnesLike: ones,
  Range: range,
  ZerosLike: zeros
}
