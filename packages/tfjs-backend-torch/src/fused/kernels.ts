// Kernels of language-model training. Who registers them says what they are called, and gives those that have a
// gradient kernel their gradient.
export { addBias } from "./add-bias.ts"
export { addProduct } from "./add-product.ts"
export { attention, attentionGradient, rotaryAttention, rotaryAttentionGradient } from "./attention.ts"
export { cacheHeads, decodeAttention, lookUp } from "./decode.ts"
export { gatedActivation, gatedActivationGradient, squaredRelu, squaredReluGradient } from "./elementwise.ts"
export {
  chooseExperts,
  chooseExpertsGradient,
  collectRows,
  collectRowsGradient,
  dispatchRows,
  expertOrder
} from "./experts.ts"
export { gatedMlp, gatedMlpGradient } from "./gated-mlp.ts"
export { groupedLinears, groupedLinearsInputGradient, groupedLinearsWeightGradients } from "./grouped-linears.ts"
export { linears, linearsInputGradient, linearsWeightGradients } from "./linears.ts"
export { batchMatMul, linear } from "./matmul.ts"
export { dequantizeNf4 } from "./nf4.ts"
export { quantizeNf4 } from "./nf4-pack.ts"
export { addRmsNorm, addRmsNormGradient, layerNorm, layerNormGradient, rmsNorm, rmsNormGradient } from "./norms.ts"
export { adamw, globalNorm } from "./optimizer.ts"
export { pagedAttention } from "./paged-attention.ts"
export {
  awaitGathers,
  gatherParts,
  joinParts,
  ownPart,
  releaseValues,
  settleSums,
  sumOverProcesses,
  sumPart,
  withoutValues
} from "./processes.ts"
export { rotary, rotaryHeads } from "./rotary.ts"
export { addEmbeddingGradient, embedding, embeddingGradient, narrow, scaleRows, takeRows, updateRows } from "./rows.ts"
export { writeValues } from "./write-values.ts"
export { sampleTokens } from "./sample-tokens.ts"
export { topLogProbs } from "./top-log-probs.ts"
export { tokenLogProbs, tokenLogProbsWeightGradient } from "./token-log-probs.ts"
