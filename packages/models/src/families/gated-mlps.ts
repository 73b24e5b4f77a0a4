import { type GatedNames, gatedMlp, type Mlp, PROJECTIONS } from "../decoder/mlp.ts"

/** Gated MLPs by transformers' names of their activation. */
export const gatedMlpsNamed = (names: GatedNames): Readonly<Record<string, Mlp>> => ({
  silu: gatedMlp("silu", names),
  swish: gatedMlp("silu", names),
  gelu: gatedMlp("gelu", names),
  gelu_new: gatedMlp("gelu_tanh", names),
  gelu_pytorch_tanh: gatedMlp("gelu_tanh", names)
})

export const gatedMlps = gatedMlpsNamed(PROJECTIONS)
