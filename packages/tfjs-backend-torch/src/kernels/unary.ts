import type { DataType, TensorInfo } from "@tensorflow/tfjs-core"
import type { Argument, Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { keepsUniform, type Kernel, type Kernels, type KernelScope } from "../kernel.ts"
import { BOOL, FLOAT32, FLOAT64, INT32, scalarTypeOf } from "../scalar-type.ts"

interface Unary {
  readonly x: TensorInfo
}

/** Elementwise; whole-number tensors stay so where `dtype` is "same", and become float32 otherwise. Complex ones stay complex. */
const elementwise = (name: string, dtype: "same" | DataType, ...rest: ReadonlyArray<Argument>): Kernel => {
  const operator = aten(name)
  return keepsUniform(({ x }: Unary, _, scope) => {
    const own = dtype === "same" || (dtype === "float32" && x.dtype === "complex64")
    return scope.out(operator(operand(x, dtype, scope), ...rest), own ? x.dtype : dtype, x.shape)
  })
}

/** ATen has much of its arithmetic for no booleans, and some of it for floating-point numbers only. */
const operand = (x: TensorInfo, dtype: "same" | DataType, scope: KernelScope): Handle => {
  const value = scope.of(x)
  if (dtype === "float32" && x.dtype !== "float32" && x.dtype !== "complex64") return to(value, FLOAT32)
  return x.dtype === "bool" ? to(value, INT32) : value
}

const [where, gt, ge, isnan, mul, add] = [
  aten("where.self"),
  aten("gt.Scalar"),
  aten("ge.Scalar"),
  aten("isnan"),
  aten("mul.Tensor"),
  aten("add.Scalar")
]
const [scalarLike, clamp, leakyRelu, to] = [aten("full_like"), aten("clamp"), aten("leaky_relu"), aten("to.dtype")]
const [nanToNum, real] = [aten("nan_to_num"), aten("real")]

/** 1 above 0, alpha elsewhere, NaN where x is. */
const step: Kernel = ({ x }: Unary, { alpha }: { readonly alpha: number }, scope) => {
  const value = scope.of(x)
  const steps = where(gt(value, 0), scalarLike(value, 1), scalarLike(value, alpha))
  return scope.out(where(isnan(value), value, steps), x.dtype, x.shape)
}

const clipByValue: Kernel = (
  { x }: Unary,
  { clipValueMax, clipValueMin }: { readonly clipValueMax: number; readonly clipValueMin: number },
  scope
) => {
  const limits = [clipValueMin, clipValueMax]
  // Programs clip to Number.MAX_VALUE, which ATen refuses as a float32; there it is infinite.
  const clipped =
    x.dtype === "float32"
      ? clamp(scope.of(x), ...limits.map((limit) => Math.fround(limit)))
      : clamp(scope.numbers(x, FLOAT64), ...limits)
  return scope.out(clipped, x.dtype, x.shape)
}

const leaky: Kernel = ({ x }: Unary, { alpha }: { readonly alpha: number }, scope) =>
  scope.out(leakyRelu(scope.numbers(x, FLOAT32), alpha), "float32", x.shape)

/** dy where y ≥ 0, else dy·(y + 1). */
const eluGrad: Kernel = ({ dy, y }: { readonly dy: TensorInfo; readonly y: TensorInfo }, _, scope) => {
  const [slope, value] = [scope.of(dy), scope.of(y)]
  return scope.out(where(ge(value, 0), slope, mul(slope, add(value, 1))), "float32", y.shape)
}

const cast: Kernel = ({ x }: Unary, { dtype }: { readonly dtype: DataType }, scope) => {
  if (x.dtype === dtype) return scope.share(x)
  const value = x.dtype === "complex64" ? real(scope.of(x)) : scope.of(x)
  // JavaScript's conversion, which tfjs follows, makes NaN 0.
  const numbers = dtype === "int32" ? nanToNum(value, 0, 2 ** 31 - 128, -(2 ** 31)) : value
  return scope.out(to(numbers, scalarTypeOf(dtype), false, true), dtype, x.shape)
}

const logicalNot: Kernel = ({ x }: Unary, _, scope) =>
  scope.out(aten("logical_not")(to(scope.of(x), BOOL)), "bool", x.shape)

export const unaryKernels: Kernels = {
  Abs: elementwise("abs", "same"),
  Acos: elementwise("acos", "float32"),
  Acosh: elementwise("acosh", "float32"),
  Asin: elementwise("asin", "float32"),
  Asinh: elementwise("asinh", "float32"),
  Atan: elementwise("atan", "float32"),
  Atanh: elementwise("atanh", "float32"),
  Cast: keepsUniform(cast),
  Ceil: elementwise("ceil", "same"),
  ClipByValue: clipByValue,
  Cos: elementwise("cos", "float32"),
  Cosh: elementwise("cosh", "float32"),
  Elu: elementwise("elu", "float32"),
  EluGrad: eluGrad,
  Erf: elementwise("erf", "float32"),
  Exp: elementwise("exp", "float32"),
  Expm1: elementwise("expm1", "float32"),
  Floor: elementwise("floor", "same"),
  Identity: ({ x }: Unary, _, scope) => scope.share(x),
  IsFinite: elementwise("isfinite", "bool"),
  IsInf: elementwise("isinf", "bool"),
  IsNan: elementwise("isnan", "bool"),
  LeakyRelu: leaky,
  Log: elementwise("log", "float32"),
  Log1p: elementwise("log1p", "float32"),
  LogicalNot: logicalNot,
  Neg: elementwise("neg", "same"),
  Reciprocal: elementwise("reciprocal", "float32"),
  Relu: elementwise("relu", "same"),
  Relu6: elementwise("clamp", "same", 0, 6),
  Round: elementwise("round", "same"),
  Rsqrt: elementwise("rsqrt", "float32"),
  Selu: elementwise("selu", "float32"),
  Sigmoid: elementwise("sigmoid", "float32"),
  Sign: elementwise("sgn", "same"),
  Sin: elementwise("sin", "float32"),
  Sinh: elementwise("sinh", "float32"),
  Softplus: elementwise("softplus", "float32"),
  Sqrt: elementwise("sqrt", "float32"),
  Square: elementwise("square", "same"),
  Step: step,
  Tan: elementwise("tan", "float32"),
  Tanh: elementwise("tanh", "float32")
}
