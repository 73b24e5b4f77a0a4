import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaGated, cudaGatedGradient } from "./cuda/launches.ts"
import { cast, dense, emptyOf, isHostReal, matrix } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

const [mul, to, contiguous] = [aten("mul.Tensor"), aten("to.dtype"), aten("contiguous")]
const [silu, siluBackward, gelu, geluBackward, relu, square, mulScalar] = [
  aten("silu"),
  aten("silu_backward"),
  aten("gelu"),
  aten("gelu_backward"),
  aten("relu"),
  aten("square"),
  aten("mul.Scalar")
]

export type GateFunction = "silu" | "gelu" | "gelu_tanh"

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

const slopeLike = (dy: TensorInfo, like: Handle, scope: KernelScope): Handle => to(scope.of(dy), typeOf(like))

/** Whether one pass of our own does it on the CPU. */
const inOnePass = (handles: ReadonlyArray<Handle>, activation: GateFunction, scope: KernelScope): boolean =>
  activation === "silu" &&
  handles.every((handle) => isHostReal(handle, scope) && typeOf(handle) === typeOf(handles[0]!))

const gateOf = (gate: Handle, up: Handle, activation: GateFunction, scope: KernelScope): Handle => {
  const T = cudaStorage([gate, up], scope)
  if (T !== undefined) return cudaGated(gate, up, activation, T, scope)
  if (!inOnePass([gate, up], activation, scope)) return mul(gates[activation](gate), up)
  const out = emptyOf(scope.backend.addon.shape(gate), typeOf(gate), scope)
  scope.backend.addon.siluGate(gate, up, out)
  return out
}

export const gatedActivation: Kernel = replayed(
  { inputs: ["gate", "up"], constants: ["activation"] },
  ({ gate, up }: GateInputs, { activation }: Gated, scope) =>
    scope.out(gateOf(matrix(gate, scope), matrix(up, scope), activation, scope), "float32", gate.shape)
)

/** [dgate, dup] */
const gateSlopes = (
  [gate, up, dy]: readonly [Handle, Handle, Handle],
  activation: GateFunction,
  scope: KernelScope
): readonly [Handle, Handle] => {
  const T = cudaStorage([gate, up], scope)
  if (T !== undefined) return cudaGatedGradient([gate, up, dy], activation, T, scope)
  if (!inOnePass([gate, up, dy], activation, scope)) {
    return [gateGradients[activation](mul(dy, up), gate), mul(dy, gates[activation](gate))]
  }
  const shape = scope.backend.addon.shape(gate)
  const [dgate, dup] = [emptyOf(shape, typeOf(gate), scope), emptyOf(shape, typeOf(gate), scope)]
  scope.backend.addon.siluGateGradient(contiguous(gate), contiguous(up), contiguous(dy), dgate, dup)
  return [dgate, dup]
}

export const gatedActivationGradient: Kernel = replayed(
  { inputs: ["gate", "up", "dy"], constants: ["activation"] },
  ({ dy, gate, up }: GateInputs, { activation }: Gated, scope) => {
    const [gated, straight] = [matrix(gate, scope), matrix(up, scope)]
    const slope = cast(dense(dy, scope), typeOf(gated))
    const [dgate, dup] = gateSlopes([gated, straight, slope], activation, scope)
    return [scope.out(dgate, "float32", gate.shape), scope.out(dup, "float32", up.shape)]
  }
)

export const squaredRelu: Kernel = replayed({ inputs: ["x"] }, ({ x }: Record<"x", TensorInfo>, _, scope) =>
  scope.out(square(relu(scope.of(x))), "float32", x.shape)
)

export const squaredReluGradient: Kernel = replayed(
  { inputs: ["x", "dy"] },
  ({ dy, x }: Record<"x" | "dy", TensorInfo>, _, scope) => {
    const value = scope.of(x)
    return scope.out(mulScalar(mul(slopeLike(dy, value, scope), relu(value)), 2), "float32", x.shape)
  }
)
