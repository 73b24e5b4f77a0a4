import { NonNegativeInt, option, Positive, PositiveInt } from "@plumbline/data"
import { Schema } from "effect"

/** What a server grants its clients; each field is a flag of the command line. */
export const limitFields = {
  maxConcurrency: option(PositiveInt, 64, "requests that run at once; others wait"),
  maxQueue: option(NonNegativeInt, 1024, "requests that may wait; one more is answered 429"),
  maxConnections: option(PositiveInt, 4096, "open connections; one more is closed at once"),
  maxBodyBytes: option(PositiveInt, 4 * 2 ** 20, "bytes of a request's body; a longer one is answered 413"),
  maxHeaderSeconds: option(Positive, 10, "seconds for a client to send its headers; then 408"),
  maxBodySeconds: option(Positive, 30, "seconds for a client to send its body; then 408"),
  maxWriteSeconds: option(Positive, 30, "seconds that a client may leave an answer unread; then it is cut off"),
  maxRequestSeconds: option(Positive, 600, "seconds for a request to wait and run; then 504"),
  maxDrainSeconds: option(Positive, 30, "seconds for running requests to finish after SIGTERM")
} as const

export const Limits = Schema.Struct(limitFields)
export type Limits = typeof Limits.Type
