// Kernels of language-model training. Who registers them says what they are called, and gives those that have a
// gradient kernel their gradient.
export { attention, attentionGradient } from "./attention.ts"
export { cacheHeads, decodeAttention, lookUp } from "./decode.ts"
export { gatedActivation, gatedActivationGradient, squaredRelu, squaredReluGradient } from "./elementwise.ts"
export { linears, linearsInputGradient, linearsWeightGradients } from "./linears.ts"
export { batchMatMul, linear } from "./matmul.ts"
export { addRmsNorm, addRmsNormGradient, layerNorm, layerNormGradient, rmsNorm, rmsNormGradient } from "./norms.ts"
export { adamw, globalNorm } from "./optimizer.ts"
export { pagedAttention } from "./paged-attention.ts"
export { rotary, rotaryHeads } from "./rotary.ts"
export { embedding, embeddingGradient, narrow, scaleRows, takeRows, updateRows } from "./rows.ts"
export { sampleTokens } from "./sample-tokens.ts"
export { tokenLogProbs, tokenLogProbsWeightGradient } from "./token-log-probs.ts"
