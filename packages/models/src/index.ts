export * from "./errors.ts"
export type {
  CausalLM,
  FolderContents,
  Model,
  ModelParts,
  ScoredTokens,
  ScoringOptions,
  SteppedModel
} from "./model.ts"
export { causalLM, type CausalLMParts } from "./causal-lm.ts"
export { createModel, type CreateModelOptions, decoderConfig, type DecoderTable } from "./create-model.ts"
export { assign, blend, copyModel, freeze } from "./copy-weights.ts"
export { flopsPerToken, parameterCount, scoringFlopsPerToken } from "./numbers.ts"
export { geometricMixture } from "./geometric-mixture.ts"
export { Policy, ReferencePolicy, Teacher } from "./policy.ts"
export { loadCausalLM, type LoadOptions, narrowMatrix } from "./checkpoint/load.ts"
export { readConfig } from "./checkpoint/folder.ts"
export { saveModel, type SaveOptions } from "./checkpoint/save.ts"
export { readTensors, restoreWeights, writeTensors } from "./checkpoint/restore.ts"
export { weightsDigest } from "./checkpoint/digest.ts"
export type { Biases, DecoderConfig, JsonObject } from "./config/decoder-config.ts"
export { type Decoder, decoder } from "./decoder/decoder.ts"
export { type CachedRows, copyPages, type DrawnTokens, type KeyValueCache } from "./decoder/key-value-cache.ts"
export { gatedMlp, type Mlp, squaredReluMlp } from "./decoder/mlp.ts"
export { layerNormOnePlus, type Norm, rootMeanSquare } from "./decoder/norm.ts"
export type { ParameterSpec } from "./decoder/parameter.ts"
export { causalParameters, decoderParameters } from "./decoder/parameter-table.ts"
export { quantisedMatrices, type QuantisedStore, quantisedStore } from "./decoder/quantised-weights.ts"
export { parameterWeights, type Weights } from "./decoder/weights.ts"
export { builtInFamilies } from "./families/families.ts"
export type { Family, ParameterNames } from "./families/family.ts"
export { llama } from "./families/llama.ts"
export { mistral } from "./families/mistral.ts"
export { nemotron } from "./families/nemotron.ts"
export { qwen2 } from "./families/qwen2.ts"
export { qwen3 } from "./families/qwen3.ts"
export { type WeightsVersion, weightsVersion } from "./weights-version.ts"
export type { WeightType } from "./safetensors/dtype.ts"
export { createScalarModel } from "./scalar/create-scalar-model.ts"
export { type Head, HEAD_WEIGHT, headParameter, type Pooling, REWARD } from "./scalar/head.ts"
export { hasHead, loadScalarModel, type LoadScalarOptions, type NewHead } from "./scalar/load-scalar-model.ts"
export { type ScalarModel, scalarModel, type ScalarModelParts } from "./scalar/scalar-model.ts"
export { readHead } from "./scalar/read-head.ts"
