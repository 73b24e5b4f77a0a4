import type { GeneratorLoad } from "@plumbline/rollout-generation"
import { Metric } from "effect"
import { SECONDS, totalMetric } from "../shell/metrics.ts"

export const openaiMetrics = {
  promptTokens: totalMetric("plumbline_prompt_tokens_total", "tokens of prompts that were answered"),
  generatedTokens: totalMetric("plumbline_generation_tokens_total", "tokens of responses that were sent"),
  firstToken: Metric.histogram("plumbline_time_to_first_token_seconds", {
    description: "from the start of a streamed request to its first token, waiting included",
    boundaries: SECONDS
  })
}

type LoadTotal = "acceptedTokens" | "cachedTokens" | "draftedTokens"

/** What the generator has done. */
export const loadTotals: Readonly<Record<LoadTotal, Metric.Counter<number>>> = {
  cachedTokens: totalMetric(
    "plumbline_prompt_tokens_cached_total",
    "tokens of prompts that the pages of earlier requests had, so that nobody computed them again"
  ),
  draftedTokens: totalMetric("plumbline_draft_tokens_total", "tokens that speculative decoding drafted"),
  acceptedTokens: totalMetric("plumbline_draft_tokens_accepted_total", "drafted tokens that were drawn in fact")
}

/** Gauges of what the generator is doing. */
export const loadGauges: Readonly<Record<Exclude<keyof GeneratorLoad, LoadTotal>, Metric.Gauge<number>>> = {
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
