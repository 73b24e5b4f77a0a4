import type { HttpClientError } from "effect/http"
import { Unanswered } from "./unanswered.ts"

/** The connection could not be made, or broke. */
export const disconnected = ({ reason }: HttpClientError.HttpClientError): Unanswered => {
  const cause = "cause" in reason && reason.cause instanceof Error ? (reason.cause.cause ?? reason.cause) : undefined
  const said = cause instanceof Error ? cause.message : reason.message
  const transient = reason._tag !== "InvalidUrlError"
  return new Unanswered({ reason: `no connection (${said})`, transient, lost: true })
}
