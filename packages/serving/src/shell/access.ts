import { createHash, timingSafeEqual } from "node:crypto"
import { RequestRefused } from "./request-refused.ts"

type Headers = Readonly<Record<string, string | undefined>>

/** Says whether a request may come in: `undefined`, or the refusal. */
export type Access = (headers: Headers) => RequestRefused | undefined

/** Lets in who has the bearer token; the comparison takes the same time whatever differs. */
export const bearerAccess = (token: string): Access => {
  const expected = digest(token)
  return ({ authorization }) => {
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1]
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined
    return new RequestRefused({
      status: 401,
      reason:
        authorization === undefined
          ? "this server wants a bearer token: send the header Authorization: Bearer TOKEN"
          : "the bearer token is not the one of this server",
      code: "invalid_api_key",
      headers: { "www-authenticate": "Bearer" }
    })
  }
}

/**
 * Without a token, lets in requests for a loopback name alone: a web page whose own name was made to resolve to this
 * machine sends that name.
 */
export const loopbackAccess: Access = ({ host }) => {
  const name = /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.exec(host ?? "")?.[1] ?? ""
  if (isLoopback(name.replace(/^\[(.*)\]$/, "$1"))) return undefined
  return new RequestRefused({
    status: 403,
    reason: `without a token this server answers requests for localhost only, not for ${JSON.stringify(host ?? "")}`,
    code: "host_not_allowed"
  })
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** True for names and addresses that only this machine reaches. */
export const isLoopback = (host: string): boolean => /^(localhost|::1|(::ffff:)?127(\.\d{1,3}){3})$/i.test(host)
