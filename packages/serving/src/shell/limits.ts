import { NonNegativeInt, option, PositiveInt } from "@plumbline/data"
import { Schema } from "effect"

/** Timers know no more than 2³¹ ms: 24 days, and one that is longer ends at once. */
const Seconds = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 2_000_000, exclusiveMinimum: true }))

/** What a server grants its clients; each field is a flag of the command line. */
export const limitFields = {
  maxConcurrency: option(PositiveInt, 64, "requests that run at once; others wait"),
  maxQueue: option(NonNegativeInt, 1024, "requests that may wait; one more is answered 429"),
  maxConnections: option(PositiveInt, 4096, "open connections; one more is closed at once"),
  maxBodyBytes: option(PositiveInt, 4 * 2 ** 20, "bytes of a request's body; a longer one is answered 413"),
  maxHeaderSeconds: option(Seconds, 10, "seconds for a client to send its headers; then 408"),
  maxBodySeconds: option(Seconds, 30, "seconds for a client to send its body; then 408"),
  maxWriteSeconds: option(Seconds, 30, "seconds that a client may leave an answer unread; then it is cut off"),
  maxRequestSeconds: option(Seconds, 600, "seconds for a request to wait and run; then 504"),
  maxDrainSeconds: option(Seconds, 30, "seconds for running requests to finish after SIGTERM")
} as const

export const Limits = Schema.Struct(limitFields)
export type Limits = typeof Limits.Type
