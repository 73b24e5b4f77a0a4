import { Data } from "effect"

/** A request that had no answer to use. */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly reason: string
  /** Set where the server says that the request itself is wrong: the field, or "request". */
  readonly field?: string
  /** Whether the same request may succeed later. */
  readonly transient: boolean
  /** Whether there was no connection, or it broke. */
  readonly lost?: boolean
  /** Milliseconds that the server wants to be left alone. */
  readonly retryAfter?: number
}> {}
