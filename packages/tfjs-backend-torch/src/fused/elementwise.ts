import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaGated, cudaGatedGradient } from "./cuda/launches.ts"
import { cast, dense, matrix } from "./storage.ts"

const [mul, to] = [aten("mul.Tensor"), aten("to.dtype")]
const [silu, siluBackward, gelu, geluBackward, relu, square, mulScalar] = [
  aten("silu"),
  aten("silu_backward"),
  aten("gelu"),
  aten("gelu_backward"),
  aten("relu"),
  aten("square"),
  aten("mul.Scalar")
]

type GateFunction = "silu" | "gelu" | "gelu_tanh"

const gates: Readonly<Record<GateFunction, (x: Handle) => Handle>> = {
  silu: (x) => silu(x),
  gelu: (x) => gelu(x, "none"),
  gelu_tanh: (x) => gelu(x, "tanh")
}

const gateGradients: Readonly<Record<GateFunction, (dy: Handle, x: Handle) => Handle>> = {
  silu: (dy, x) => siluBackward(dy, x),
  gelu: (dy, x) => geluBackward(dy, x, "none"),
  gelu_tanh: (dy, x) => geluBackward(dy, x, "tanh")
}

interface Gated {
  readonly activation: GateFunction
}

type GateInputs = Record<"gate" | "up" | "dy", TensorInfo>

const slopeLike = (dy: TensorInfo, like: Handle, scope: KernelScope): Handle =>
  to(scope.of(dy), scope.backend.addon.scalarType(like))

export const gatedActivation: Kernel = ({ gate, up }: GateInputs, { activation }: Gated, scope) => {
  const [gated, straight] = [matrix(gate, scope), matrix(up, scope)]
  const T = cudaStorage([gated, straight], scope)
  const out =
    T === undefined ? mul(gates[activation](gated), straight) : cudaGated(gated, straight, activation, T, scope)
  return scope.out(out, "float32", gate.shape)
}

export const gatedActivationGradient: Kernel = ({ dy, gate, up }: GateInputs, { activation }: Gated, scope) => {
  const [gated, straight] = [matrix(gate, scope), matrix(up, scope)]
  const slope = cast(dense(dy, scope), scope.backend.addon.scalarType(gated), scope)
  const T = cudaStorage([gated, straight], scope)
  if (T !== undefined) {
    const [dgate, dup] = cudaGatedGradient([gated, straight, slope], activation, T, scope)
    return [scope.out(dgate, "float32", gate.shape), scope.out(dup, "float32", up.shape)]
  }
  return [
    scope.out(gateGradients[activation](mul(slope, straight), gated), "float32", gate.shape),
    scope.out(mul(slope, gates[activation](gated)), "float32", up.shape)
  ]
}

export const squaredRelu: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) =>
  scope.out(square(relu(scope.of(x))), "float32", x.shape)

export const squaredReluGradient: Kernel = ({ dy, x }: Record<"x" | "dy", TensorInfo>, _, scope) => {
  const value = scope.of(x)
  return scope.out(mulScalar(mul(slopeLike(dy, value, scope), relu(value)), 2), "float32", x.shape)
}
