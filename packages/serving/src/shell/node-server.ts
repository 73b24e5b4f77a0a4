import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES
} from "node:http"
import type { Socket } from "node:net"
import type { Limits } from "./limits.ts"
import { errorBody, RequestRefused } from "./request-refused.ts"

const HEADER_BYTES = 16 * 1024
/** Of a body that was refused. */
const DISCARDED_BYTES = 64 * 2 ** 20
const DISCARDED_MS = 2000

/** Node's HTTP server, strict about time and size; what it cannot parse is answered in the shape of other errors. */
export const nodeServer = (limits: Limits): Server => {
  const headersTimeout = limits.maxHeaderSeconds * 1000
  const server = createServer({
    headersTimeout,
    // bodies have a limit of their own, with a better answer; this one is for bodies that no route reads
    requestTimeout: headersTimeout + limits.maxBodySeconds * 1000 + 1000,
    connectionsCheckingInterval: Math.max(50, Math.min(1000, headersTimeout / 4)),
    keepAliveTimeout: 15_000,
    maxHeaderSize: HEADER_BYTES,
    noDelay: true,
    // Node's own refusal says no reason
    requireHostHeader: false,
    // who offers another protocol, as Java's client does, is answered in this one
    shouldUpgradeCallback: () => false
  })
  server.maxConnections = limits.maxConnections
  const exchanges = openExchanges(server)
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy()
    const refuse = () => sendRaw(socket, refusalOf(error, limits))
    const open = exchanges(socket)
    const last = open.at(-1)
    if (last === undefined) refuse()
    // what came before is answered first
    else if (last.request.complete) last.response.once("finish", refuse)
    // an answer that has begun cannot become another one
    else if (open.length > 1 || last.response.headersSent) socket.destroy()
    else refuse()
  })
  server.on("connect", (_, socket: Socket) => sendRaw(socket, NO_PROXY))
  server.on("checkExpectation", ({ socket }) => sendRaw(socket, NO_EXPECTATION))
  return server
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** The requests of a connection that are not answered to the end, in the order in which they came. */
const openExchanges = (server: Server): ((socket: Socket) => ReadonlyArray<Exchange>) => {
  const found = new WeakMap<Socket, Set<Exchange>>()
  onEveryRequest(server, (request, response) => {
    const exchange = { request, response }
    const open = found.get(request.socket) ?? new Set()
    found.set(request.socket, open.add(exchange))
    response.once("close", () => open.delete(exchange))
    response.once("finish", () => discardRest(request))
  })
  return (socket) => [...(found.get(socket) ?? [])]
}

/** Of requests whose clients wait for a 100 before they send the body, Node tells by another event. */
export const onEveryRequest = (server: Server, take: RequestListener): void => {
  server.on("request", take)
  server.on("checkContinue", take)
}

/**
 * Reads on after an answer that came before the end of the body. Clients that first send it all would else find the
 * connection broken, and no answer. Whoever has much left to send is cut off.
 */
const discardRest = (request: IncomingMessage): void => {
  if (request.complete) return
  let left = DISCARDED_BYTES
  const timer = setTimeout(() => request.socket.destroy(), DISCARDED_MS)
  request.once("close", () => clearTimeout(timer))
  request.on("data", (part: Buffer) => {
    left -= part.length
    if (left < 0) request.socket.destroy()
  })
  request.resume()
}

const refusalOf = ({ code }: NodeJS.ErrnoException, { maxHeaderSeconds }: Limits): RequestRefused => {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new RequestRefused({ status: 408, reason: `the request did not arrive in time (${maxHeaderSeconds} s)` })
  }
  if (code === "HPE_HEADER_OVERFLOW") {
    return new RequestRefused({ status: 431, reason: `the headers are longer than ${HEADER_BYTES} bytes` })
  }
  return new RequestRefused({ status: 400, reason: "this is not an HTTP/1.1 request" })
}

const NO_PROXY = new RequestRefused({ status: 405, reason: "this server is no proxy", code: "method_not_allowed" })
const NO_EXPECTATION = new RequestRefused({ status: 417, reason: "of expectations only 100-continue is known" })

/** Sends an answer past the HTTP server, and closes the connection. */
const sendRaw = (socket: Socket, refused: RequestRefused): void => {
  if (socket.writable) socket.end(rawAnswer(refused), () => socket.destroy())
}

const rawAnswer = (refused: RequestRefused): string => {
  const body = JSON.stringify(errorBody(refused))
  return [
    `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status]}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body
  ].join("\r\n")
}
