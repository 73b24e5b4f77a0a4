import type { TensorInfo } from "@tensorflow/tfjs-core"
import { aten } from "../aten.ts"
import type { Kernel, Kernels } from "../kernel.ts"

const [complexOf, real, imag, abs] = [aten("complex"), aten("real"), aten("imag"), aten("abs")]

const complex: Kernel = (inputs: Record<"real" | "imag", TensorInfo>, _, scope) =>
  scope.out(complexOf(scope.wide(inputs.real), scope.wide(inputs.imag)), "complex64", inputs.real.shape)

type OneInput = Record<"input", TensorInfo>

const part =
  (operator: typeof real): Kernel =>
  ({ input }: OneInput, _, scope) =>
    scope.out(aten("contiguous")(operator(scope.of(input))), "float32", input.shape)

const transform = (name: string): Kernel => {
  const operator = aten(name)
  return ({ input }: OneInput, _, scope) => scope.out(operator(scope.of(input)), "complex64", input.shape)
}

export const spectralKernels: Kernels = {
  Complex: complex,
  ComplexAbs: ({ x }: Record<"x", TensorInfo>, _, scope) => scope.out(abs(scope.of(x)), "float32", x.shape),
  FFT: transform("fft_fft"),
  IFFT: transform("fft_ifft"),
  Imag: part(imag),
  Real: part(real)
}
