import { Schema } from "effect"

/** A request that is answered with an error, in the shape of OpenAI's API. */
export class RequestRefused extends Schema.TaggedError<RequestRefused>()("RequestRefused", {
  /** 4xx or 5xx. */
  status: Schema.Int,
  /** What the client reads. */
  reason: Schema.String,
  /** Field of the request that is at fault, as a dotted path. */
  param: Schema.optionalKey(Schema.String),
  /** For programs: "model_not_found", "context_length_exceeded", … */
  code: Schema.optionalKey(Schema.String),
  /** Further headers of the answer, e.g. `retry-after`. */
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
}) {
  override get message() {
    return this.reason
  }
}

/** What a client reads: OpenAI's `{ error: { message, type, param, code } }`. */
export const errorBody = ({ code, param, reason, status }: RequestRefused) => ({
  error: { message: reason, type: typeOf(status), param: param ?? null, code: code ?? null }
})

const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  429: "rate_limit_error"
}

const typeOf = (status: number): string => TYPES[status] ?? (status >= 500 ? "server_error" : "invalid_request_error")

/** A field of the request that cannot be used: 400. */
export const badField = (param: string, reason: string, code = "invalid_value") =>
  new RequestRefused({ status: 400, reason: `${param}: ${reason}`, param, code })
