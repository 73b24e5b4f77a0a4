import { type AdapterMethod, plainMethod } from "../method.ts"

/**
 * Trains the model's biases and nothing else. PEFT has no such adapter: the folder is this library's, and a merged
 * model opens everywhere.
 *
 * @see Ben Zaken et al. 2021, https://arxiv.org/abs/2106.10199
 */
export const bitFit = ({
  trainedModules = []
}: { readonly trainedModules?: ReadonlyArray<string> } = {}): AdapterMethod => ({
  ...plainMethod,
  config: { peft_type: "BITFIT", bias: "all" },
  selection: { targets: "all-linear" },
  trainedModules,
  biases: "all",
  tensors: () => [],
  layer: () => ({ down: () => [], output: (y) => y, merge: (base) => base })
})
