import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE, type TokenizerShape, tokenizerThread } from "@plumbline/data"
import type { GeneratorShape } from "@plumbline/rollout-generation"
import { Effect, Exit, Schema, Scope } from "effect"
import OpenAI from "openai"
import { openaiRoutes } from "../openai/routes.ts"
import type { ServedModel } from "../openai/served-model.ts"
import { loopbackAccess } from "../shell/access.ts"
import { admission } from "../shell/admission.ts"
import { Limits } from "../shell/limits.ts"
import { metricsPage } from "../shell/metrics.ts"
import { serveHttp } from "../shell/serve-http.ts"
import { statusRoutes } from "../shell/status-routes.ts"
import { type Script, scriptedGenerator } from "@plumbline/rollout-generation/testing"

/** One id a byte, and the marks of ChatML. */
export const tokenizer: TokenizerShape = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })

export const idsOf = (text: string): ReadonlyArray<number> => [...tokenizer.encode(text)]

/** OpenAI's API over a generator that says what it is told, and OpenAI's client. */
export const serveScripted = (script: Partial<Script> = {}, speaks = tokenizer) =>
  serveGenerator(
    scriptedGenerator({
      says: () => idsOf("hello"),
      vocabulary: tokenizer.vocabSize,
      contextTokens: 200,
      ...script
    }),
    speaks
  )

/** The same over any generator. @param run whose weights it has */
export const serveGenerator = async <G extends GeneratorShape>(generator: G, speaks = tokenizer, run?: string) => {
  const names = { id: "tiny", aliases: ["/models/tiny"], created: 1 }
  const scope = Scope.makeUnsafe()
  const thread = await Effect.runPromise(Scope.provide(tokenizerThread(speaks), scope))
  const model: ServedModel = { ...names, tokenizer: speaks, tokenizerThread: thread, generator, endTokens: [3] }
  const limits = Schema.decodeSync(Limits)({})
  const metrics = metricsPage()
  const admitted = admission(limits)
  const routes = [
    ...openaiRoutes({
      models: [model],
      limits,
      admission: admitted,
      metrics,
      maxResponses: 64,
      weightsRun: () => run
    }),
    ...statusRoutes(metrics, Effect.succeed({}))
  ]
  const options = { routes, limits, admission: admitted, metrics, access: loopbackAccess, host: "127.0.0.1", port: 0 }
  const listening = await Effect.runPromise(Scope.provide(serveHttp(options), scope))
  const client = new OpenAI({ baseURL: `${listening.url}/v1`, apiKey: "none", maxRetries: 0 })
  const post = async (path: string, body: unknown) => {
    const headers = { "content-type": "application/json" }
    const answer = await fetch(listening.url + path, { method: "POST", headers, body: JSON.stringify(body) })
    return { status: answer.status, text: await answer.text() }
  }
  return {
    ...listening,
    client,
    generator,
    metrics,
    post,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
