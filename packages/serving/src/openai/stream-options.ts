import { Effect } from "effect"
import { badField } from "../shell/request-refused.ts"
import type { SharedRequest } from "./fields.ts"
import type { StreamUsage } from "./job.ts"

type StreamFields = Pick<SharedRequest, "stream" | "stream_options">

export const checkStream = ({ stream, stream_options: options }: StreamFields) => {
  if (options === undefined) return Effect.void
  if (stream !== true) return Effect.fail(badField("stream_options", "needs stream to be true"))
  return options.continuous_usage_stats === true && options.include_usage !== true
    ? Effect.fail(badField("stream_options.continuous_usage_stats", "needs include_usage to be true"))
    : Effect.void
}

export const streamUsageOf = ({ stream_options: options }: StreamFields): StreamUsage => {
  if (options?.include_usage !== true) return "none"
  return options.continuous_usage_stats === true ? "always" : "last"
}
