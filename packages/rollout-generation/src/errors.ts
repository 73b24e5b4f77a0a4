import { Schema } from "effect"
import type { GeneratedResponse } from "./request.ts"

/** A response that was whole when its batch failed; `request` is the index of its request. */
export interface FinishedResponse {
  readonly request: number
  readonly response: GeneratedResponse
}

const Finished = Schema.Array(
  Schema.declare((value): value is FinishedResponse => typeof value === "object" && value !== null)
)

/** A request that can never be done: its fault, and found before any work, unless it is a server that finds it. */
export class GenerationRefused extends Schema.TaggedError<GenerationRefused>()("GenerationRefused", {
  /** Field of the request or of its sampling options. */
  field: Schema.String,
  reason: Schema.String,
  /** Of other requests, where a server did them before. */
  finished: Schema.optionalKey(Finished)
}) {
  override get message() {
    const before = this.finished === undefined ? "" : `; ${responses(this.finished)} finished before it`
    return `generation refused: ${this.field} ${this.reason}${before}`
  }
}

/** The deadline of a request passed. */
export class GenerationTimedOut extends Schema.TaggedError<GenerationTimedOut>()("GenerationTimedOut", {
  seconds: Schema.Finite,
  finished: Finished,
  /** Of the server that was asked, where one was. */
  url: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const where = this.url === undefined ? "" : ` at ${this.url}`
    return `generation${where} took longer than its deadline of ${this.seconds} s; ${responses(this.finished)} finished before it`
  }
}

/** The generator died, or could not go on with this request. */
export class GeneratorFailed extends Schema.TaggedError<GeneratorFailed>()("GeneratorFailed", {
  reason: Schema.String,
  finished: Finished
}) {
  override get message() {
    return `the generator failed: ${this.reason}; ${responses(this.finished)} finished before it`
  }
}

export type GenerationError = GenerationRefused | GenerationTimedOut | GeneratorFailed

const responses = ({ length }: ReadonlyArray<unknown>): string => (length === 1 ? "1 response" : `${length} responses`)
