import { gatedMlp, type Mlp } from "../decoder/mlp.ts"

/** Gated MLPs by transformers' names of their activation. */
export const gatedMlps: Readonly<Record<string, Mlp>> = {
  silu: gatedMlp("silu"),
  swish: gatedMlp("silu"),
  gelu: gatedMlp("gelu"),
  gelu_new: gatedMlp("gelu_tanh"),
  gelu_pytorch_tanh: gatedMlp("gelu_tanh")
}
