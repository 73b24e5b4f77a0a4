import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import type { RemoteOptions } from "../remote/options.ts"
import { remoteGenerator } from "../remote/remote-generator.ts"
import type { GenerationRequest } from "../request.ts"
import { samplingOptions } from "../sampling/options.ts"

export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
  /** Milliseconds before it. */
  readonly after?: number
  /** Closes the connection after the headers. */
  readonly breaks?: boolean
  /** Never ends it. */
  readonly open?: boolean
}

interface Asked {
  readonly body: Record<string, unknown>
  readonly headers: IncomingHttpHeaders
}

const servers: Array<Server> = []

/** Ends all servers that were started here. */
export const closeServers = () => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close()))

export const MODELS = { data: [{ id: "far", max_model_len: 64, vocabulary: 100 }] }

/** A server that gives these answers to /completions, one after the other, the last one for ever. */
export const serve = async (answers: ReadonlyArray<Answer>, models: unknown = MODELS) => {
  const asked: Array<Asked> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      if (request.url === "/v1/models") {
        response.end(JSON.stringify(models))
        return
      }
      // whoever waits long asks for /health
      if (request.method === "GET") {
        response.writeHead(404).end()
        return
      }
      asked.push({ body: JSON.parse(Buffer.concat(chunks).toString()), headers: request.headers })
      const {
        after = 0,
        body,
        breaks,
        headers = {},
        open = false,
        status = 200
      } = answers[Math.min(asked.length, answers.length) - 1]!
      const answer = () => {
        response.writeHead(status, headers)
        const text = typeof body === "string" ? body : JSON.stringify(body)
        if (open) return response.write(text)
        if (breaks !== true) return response.end(text)
        response.write("{")
        return setTimeout(() => request.socket.destroy(), 10)
      }
      setTimeout(answer, after).unref()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(server)
  return { asked, baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

export const generatorOf = (options: RemoteOptions) =>
  Effect.runPromise(remoteGenerator({ retryDelay: 1, ...options }).pipe(Effect.provide(FetchHttpClient.layer)))

export const ROW: GenerationRequest = {
  promptIds: Int32Array.of(1, 2, 3),
  seed: 9,
  sampling: samplingOptions({ maxNewTokens: 8, stopIds: [5] })
}

/** A choice as vLLM 0.11 writes it. */
export const choice = (fields: object = {}) => ({
  index: 0,
  text: "ab",
  logprobs: {
    tokens: ["token_id:7", "token_id:5"],
    token_logprobs: [-0.5, -0.25],
    top_logprobs: [{}, {}],
    text_offset: [0, 1]
  },
  finish_reason: "stop",
  stop_reason: null,
  token_ids: [7, 5],
  prompt_token_ids: [1, 2, 3],
  ...fields
})

export const nine = {
  token_ids: Array.from({ length: 9 }, () => 7),
  logprobs: { token_logprobs: Array.from({ length: 9 }, () => -1) }
}

export const ok = (...choices: ReadonlyArray<object>): Answer => ({ body: { id: "x", choices, usage: {} } })

/** What one row over a server with these answers gives. */
export const one = async (
  answers: ReadonlyArray<Answer>,
  row: Partial<GenerationRequest> = {},
  options: object = {}
) => {
  const { asked, baseUrl } = await serve(answers)
  const generator = await generatorOf({ baseUrl, ...options })
  const generated = Effect.map(generator.generate([{ ...ROW, ...row }]), ([group]) => group!)
  return {
    asked,
    ...(await Effect.runPromise(
      Effect.match(generated, {
        onSuccess: (group) => ({ group, error: undefined }),
        onFailure: (error) => ({ group: undefined, error })
      })
    ))
  }
}
