export { generate, type GenerateOptions, type Response } from "./generate.ts"
export { type SampledToken, sampleToken, type SamplingOptions } from "./sampling.ts"
