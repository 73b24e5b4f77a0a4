export {
  type FinishedResponse,
  type GenerationError,
  GenerationRefused,
  GenerationTimedOut,
  GeneratorFailed
} from "./errors.ts"
export type { EngineOptions } from "./engine/engine.ts"
export { Generator } from "./generator.ts"
export type { GeneratorLimits, GeneratorLoad, GeneratorShape } from "./generator-shape.ts"
export { promptRequests, type SharedRequest } from "./prompt-requests.ts"
export type {
  GeneratedGroup,
  GeneratedResponse,
  GenerationEvent,
  GenerationRequest,
  PromptScores,
  StopMatch,
  TokenEvent,
  TokenLogProb
} from "./request.ts"
export { samplingFields, SamplingOptions, samplingOptions } from "./sampling/options.ts"
export { responseText } from "./response-text.ts"
export { type RemoteOptions, UNKNOWN_VERSION } from "./remote/options.ts"
export { remoteGenerator, remoteGeneratorLayer } from "./remote/remote-generator.ts"
