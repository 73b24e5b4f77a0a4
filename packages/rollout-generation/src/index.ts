export {
  type FinishedResponse,
  type GenerationError,
  GenerationRefused,
  GenerationTimedOut,
  GeneratorFailed
} from "./errors.ts"
export type { EngineModels, EngineOptions } from "./engine/engine.ts"
export { type EngineGenerator, engineGenerators } from "./engine/engine-generator.ts"
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
export { remotePolicyGenerator, remotePolicyLayer } from "./remote/policy-generator.ts"
export { RUN_HEADER, type ServedWeights, type TakenWeights, WEIGHTS_PATH } from "./remote/weights-protocol.ts"
export {
  agentLoop,
  type AgentOptions,
  type AgentResult,
  type AgentTurn,
  type FinishedCall
} from "./agent/agent-loop.ts"
export { type Episode, type EpisodeOptions, openEpisode } from "./agent/episode.ts"
export { type AgentError, runAgent } from "./agent/run-agent.ts"
export { tool, type Tool, type ToolOptions, type ToolOutcome } from "./agent/tool.ts"
export {
  CALL_MARKS,
  callIn,
  type MalformedCall,
  taggedCalls,
  type ToolCall,
  toolInstructions
} from "./agent/tool-calls.ts"
export { type Transcript, type TranscriptPart, transcriptOf } from "./agent/transcript.ts"
export { chatTurns, type TurnFormat } from "./agent/turn-format.ts"
export { patientHttp } from "./remote/http-client.ts"
export { type LifeWatch, lifeWatch, type LifeWatchOptions, originOf, PULSE_HEADER } from "./remote/life-watch.ts"
export { jsonOf, persistently, type Send, sender } from "./remote/send.ts"
export { Unanswered } from "./remote/unanswered.ts"
