import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"

/** How tfjs's fused kernels end: bias, then activation. */
export interface Ending {
  readonly activation?: string
  readonly leakyreluAlpha?: number
}

const [add, mul, where, ge, clamp, leakyRelu] = [
  aten("add.Tensor"),
  aten("mul.Tensor"),
  aten("where.self"),
  aten("ge.Scalar"),
  aten("clamp"),
  aten("leaky_relu")
]
const [relu, sigmoid, elu] = [aten("relu"), aten("sigmoid"), aten("elu")]

type Activation = (x: Handle, alpha: number, slopes: Handle | undefined) => Handle

const activations: Readonly<Record<string, Activation>> = {
  linear: (x) => x,
  relu: (x) => relu(x),
  relu6: (x) => clamp(x, 0, 6),
  elu: (x) => elu(x),
  sigmoid: (x) => sigmoid(x),
  leakyrelu: (x, alpha) => leakyRelu(x, alpha),
  prelu: (x, _, slopes) => where(ge(x, 0), x, mul(x, slopes))
}

export const withEnding = (
  x: Handle,
  bias: Handle | undefined,
  slopes: Handle | undefined,
  { activation = "linear", leakyreluAlpha = 0.2 }: Ending
): Handle => {
  const activate = activations[activation]
  if (activate === undefined)
    throw new Error(`Activation ${activation} has not been implemented for the torch backend.`)
  return activate(bias === undefined ? x : add(x, bias), leakyreluAlpha, slopes)
}
