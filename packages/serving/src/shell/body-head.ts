import { Effect } from "effect"
import type { HttpServerRequest } from "effect/http"
import { RequestRefused } from "./request-refused.ts"

/**
 * Fails with 415 where the body of a request is of another type than `media`, or encoded. Pages of other sites cannot send
 * the types that are read here unasked, so a browser cannot be made to use a server without a token.
 *
 * @param wanted the type, in words
 */
export const checkMedia = (
  { headers }: Pick<HttpServerRequest.HttpServerRequest, "headers">,
  media: string,
  wanted = media
): Effect.Effect<void, RequestRefused> => {
  const found = (headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase()
  const coding = (headers["content-encoding"] ?? "identity").trim().toLowerCase()
  if (found !== media) return refuse(`the body must be ${wanted}, not ${found || "untyped"}`)
  return coding === "identity" ? Effect.void : refuse(`content-encoding ${coding} is not read; send the body as it is`)
}

/** Fails with 415 where the body of a request is said to be text in another encoding than UTF-8. */
export const checkUtf8 = ({
  headers
}: Pick<HttpServerRequest.HttpServerRequest, "headers">): Effect.Effect<void, RequestRefused> => {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers["content-type"] ?? "")?.[1] ?? "utf-8"
  return UTF_8.has(charset.toLowerCase())
    ? Effect.void
    : refuse(`JSON is read in UTF-8, not in ${charset.slice(0, 40) || "an encoding without a name"}`)
}

/** ASCII is a part of it. */
const UTF_8 = new Set(["utf-8", "utf8", "us-ascii", "ascii"])

const refuse = (reason: string) => Effect.fail(new RequestRefused({ status: 415, reason }))
