import type { GeneratorLoad } from "@plumbline/rollout-generation"
import { Metric } from "effect"
import { SECONDS } from "../shell/metrics.ts"

export const openaiMetrics = {
  promptTokens: Metric.counter("plumbline_prompt_tokens_total", {
    description: "tokens of prompts that were answered",
    incremental: true
  }),
  generatedTokens: Metric.counter("plumbline_generation_tokens_total", {
    description: "tokens of responses that were sent",
    incremental: true
  }),
  firstToken: Metric.histogram("plumbline_time_to_first_token_seconds", {
    description: "from the start of a streamed request to its first token, waiting included",
    boundaries: SECONDS
  })
}

/** Gauges of what the generator is doing. */
export const loadGauges: Readonly<Record<keyof GeneratorLoad, Metric.Gauge<number>>> = {
  running: Metric.gauge("plumbline_generator_responses_running", { description: "responses that are being written" }),
  waiting: Metric.gauge("plumbline_generator_responses_waiting", { description: "responses that wait for room" }),
  cacheUse: Metric.gauge("plumbline_generator_cache_use_ratio", { description: "share of the cache in use, 0 to 1" }),
  promptTokens: Metric.gauge("plumbline_generator_prompt_tokens", { description: "prompt tokens computed so far" }),
  sampledTokens: Metric.gauge("plumbline_generator_sampled_tokens", { description: "tokens sampled so far" }),
  finishedResponses: Metric.gauge("plumbline_generator_responses_finished", {
    description: "responses finished so far"
  })
}

export const memoryGauges = {
  tensors: Metric.gauge("plumbline_backend_tensors", { description: "live tensors of the backend" }),
  bytes: Metric.gauge("plumbline_backend_bytes", { description: "bytes of live tensors" })
}
