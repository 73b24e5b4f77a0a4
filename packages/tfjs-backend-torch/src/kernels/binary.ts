import { backend_util, type DataType, type TensorInfo, upcastType } from "@tensorflow/tfjs-core"
import { aten } from "../aten.ts"
import { keepsUniform, type Kernel, type Kernels, type KernelScope } from "../kernel.ts"
import { BOOL, FLOAT32, FLOAT64, INT32, INT64 } from "../scalar-type.ts"
import type { Handle } from "../addon.ts"

interface Operands {
  readonly a: TensorInfo
  readonly b: TensorInfo
}

const shapeOf = ({ a, b }: Operands) => backend_util.assertAndGetBroadcastShape(a.shape, b.shape)

/** `dtype` is the result's; the operands' common one where it is not given. */
const elementwise = (name: string, dtype?: DataType): Kernel => {
  const operator = aten(name)
  return keepsUniform((operands: Operands, _, scope) => {
    const { a, b } = operands
    const common = upcastType(a.dtype, b.dtype)
    const sides = numbers(operands, scope)
    const result = dtype === undefined && common === "bool" ? operator(...counted(sides)) : operator(...sides)
    return scope.out(result, dtype ?? common, shapeOf(operands))
  })
}

/** Two numbers stay on the host unless a tensor brings them to the device, so one of the two is always there. */
const numbers = ({ a, b }: Operands, scope: KernelScope): [Handle, Handle] => [
  b.shape.length === 0 ? scope.of(a) : scope.operand(a),
  scope.operand(b)
]

/** Booleans as whole numbers: ATen has much of its arithmetic for these alone. */
const counted = ([a, b]: readonly [Handle, Handle]): [Handle, Handle] => [to(a, INT32), to(b, INT32)]

const [to, mul, where, ge] = [aten("to.dtype"), aten("mul.Tensor"), aten("where.self"), aten("ge.Scalar")]
const [divide, remainder, power] = [aten("div.Tensor_mode"), aten("remainder.Tensor"), aten("pow.Tensor_Tensor")]
const [subtract, square, nanToNum] = [aten("sub.Tensor"), aten("square"), aten("nan_to_num")]

/** JavaScript's conversion, which tfjs follows: 0 where a number is not finite, the last 32 bits of one that is too large. */
const wholeNumbers = (x: Handle): Handle => to(to(nanToNum(x, 0, 0, 0), INT64), INT32)

/** Whole numbers by way of float64, where a division by 0 or a negative power is a number and not an error. */
const throughDouble =
  (compute: (a: Handle, b: Handle) => Handle): Kernel =>
  (operands: Operands, _, scope) => {
    const dtype = upcastType(operands.a.dtype, operands.b.dtype)
    const [a, b] = numbers(operands, scope)
    const exact = dtype === "int32" || dtype === "bool"
    const result = exact ? wholeNumbers(compute(to(a, FLOAT64), to(b, FLOAT64))) : compute(a, b)
    return scope.out(result, dtype, shapeOf(operands))
  }

const squaredDifference: Kernel = (operands: Operands, _, scope) => {
  const dtype = upcastType(operands.a.dtype, operands.b.dtype)
  const sides = numbers(operands, scope)
  return scope.out(square(subtract(...(dtype === "bool" ? counted(sides) : sides))), dtype, shapeOf(operands))
}

const logical = (name: string): Kernel => {
  const operator = aten(name)
  return (operands: Operands, _, scope) => {
    const [a, b] = numbers(operands, scope)
    return scope.out(operator(to(a, BOOL), to(b, BOOL)), "bool", shapeOf(operands))
  }
}

const realDiv: Kernel = (operands: Operands, _, scope) => {
  const dtype = operands.a.dtype === "complex64" ? "complex64" : "float32"
  return scope.out(aten("div.Tensor")(...numbers(operands, scope)), dtype, shapeOf(operands))
}

const prelu: Kernel = ({ alpha, x }: { readonly alpha: TensorInfo; readonly x: TensorInfo }, _, scope) => {
  const [value, slope] = [scope.numbers(x, FLOAT32), scope.numbers(alpha, FLOAT32)]
  return scope.out(where(ge(value, 0), value, mul(value, slope)), "float32", shapeOf({ a: x, b: alpha }))
}

const addN: Kernel = (tensors: ReadonlyArray<TensorInfo>, _, scope) => {
  const add = aten("add.Tensor")
  const [first, ...rest] = Object.values(tensors)
  if (rest.length === 0) return scope.share(first!)
  return scope.out(
    rest.reduce((sum, tensor) => add(sum, scope.of(tensor)), scope.of(first!)),
    first!.dtype,
    first!.shape
  )
}

/** Shapes as tensors: the shape both broadcast to. */
const broadcastArgs: Kernel = ({ s0, s1 }: { readonly s0: TensorInfo; readonly s1: TensorInfo }, _, scope) => {
  const [left, right] = [s0, s1].map((shape) => Array.from(scope.values(shape))) as [Array<number>, Array<number>]
  const shape = backend_util.assertAndGetBroadcastShape(left, right)
  const dataId = scope.backend.write(Int32Array.from(shape), [shape.length], "int32")
  return { dataId, shape: [shape.length], dtype: "int32" }
}

export const binaryKernels: Kernels = {
  Add: elementwise("add.Tensor"),
  AddN: addN,
  Atan2: elementwise("atan2"),
  BitwiseAnd: elementwise("bitwise_and.Tensor"),
  BroadcastArgs: broadcastArgs,
  Equal: elementwise("eq.Tensor", "bool"),
  FloorDiv: throughDouble((a, b) => divide(a, b, "floor")),
  Greater: elementwise("gt.Tensor", "bool"),
  GreaterEqual: elementwise("ge.Tensor", "bool"),
  Less: elementwise("lt.Tensor", "bool"),
  LessEqual: elementwise("le.Tensor", "bool"),
  LogicalAnd: logical("logical_and"),
  LogicalOr: logical("logical_or"),
  LogicalXor: logical("logical_xor"),
  Maximum: elementwise("maximum"),
  Minimum: elementwise("minimum"),
  Mod: throughDouble((a, b) => remainder(a, b)),
  Multiply: elementwise("mul.Tensor"),
  NotEqual: elementwise("ne.Tensor", "bool"),
  Pow: throughDouble((a, b) => power(a, b)),
  Prelu: prelu,
  RealDiv: keepsUniform(realDiv),
  SquaredDifference: squaredDifference,
  Sub: elementwise("sub.Tensor")
}
