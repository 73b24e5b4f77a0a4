import { needed, NonNegativeInt, option, optional, PositiveInt } from "@plumbline/data"
import { Generator } from "@plumbline/rollout-generation"
import { ModelRuntime } from "@plumbline/runtime"
import {
  admission,
  bearerAccess,
  fingerprint,
  isLoopback,
  limitFields,
  loopbackAccess,
  metricsPage,
  openaiRoutes,
  type ServedModel,
  serveHttp,
  statusRoutes,
  watchGenerator
} from "@plumbline/serving"
import { Context, Deferred, Effect, Layer, Schema } from "effect"
import { basename, resolve } from "node:path"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { engineFields } from "../engine-fields.ts"
import { openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { listenForStop, type StopSignal } from "../stop-listener.ts"
import { remark } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

/** Where the token may stand instead of on the command line, which other users of the machine can read. */
const TOKEN_VARIABLE = "PLUMBLINE_TOKEN"

const Port = NonNegativeInt.check(Schema.isLessThanOrEqualTo(65_535))

const serverLimits = {
  ...limitFields,
  maxResponses: option(PositiveInt, 1024, "responses that one request may ask for, over all its prompts")
} as const

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "model folder, in the Hugging Face layout"),
  port: option(Port, 8000, "port to listen on; 0 takes a free one"),
  host: option(Schema.NonEmptyString, "127.0.0.1", "address to listen on; any but loopback needs a token"),
  token: optional(Schema.NonEmptyString, `bearer token that clients must send; better in ${TOKEN_VARIABLE}`),
  name: optional(Schema.NonEmptyString, "the model's name for clients; the folder's by default"),
  ...serverLimits,
  ...engineFields,
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "serve",
  usage: "--model DIR [--port N]",
  summary: "serves OpenAI's API: /v1/completions, /v1/chat/completions, /v1/models; /health, /ready, /metrics",
  arguments: [],
  options: Options,
  group: (field) => {
    if (field in machineFields || field in engineFields) return "Machine"
    return field in serverLimits ? "Limits" : "Options"
  },
  configFile: false
}

/** Serves a model until SIGTERM or Ctrl-C; requests that run then have time to finish. */
export const serveCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const token = yield* tokenOf(options)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const stopped = yield* stopSignal
        yield* Effect.scoped(serveUntil(stopped, options, token)).pipe(onMachine(options))
        yield* remark("stopped")
      })
    )
  })

/** The token of the flag, else of the environment; a host that others reach must have one. */
const tokenOf = ({ host, token = process.env[TOKEN_VARIABLE] || undefined }: Options) => {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    return refused(`the token must be visible ASCII characters without spaces: HTTP headers carry no others`)
  }
  if (token === undefined && !isLoopback(host)) {
    return refused(
      `--host ${host} can be reached from other machines: give a token, in ${TOKEN_VARIABLE} or with --token`
    )
  }
  return Effect.succeed(token)
}

const refused = (problem: string) =>
  Effect.fail(new UsageError({ problems: [problem], help: "plumb serve --help lists the options" }))

/** The first signal to stop; a second one ends the process. */
const stopSignal = Effect.gen(function* () {
  const stopped = yield* Deferred.make<StopSignal>()
  yield* Effect.acquireRelease(
    Effect.sync(() => listenForStop((signal) => Deferred.doneUnsafe(stopped, Effect.succeed(signal)))),
    (stop) => Effect.sync(stop)
  )
  return stopped
})

const serveUntil = Effect.fnUntraced(function* (
  stopped: Deferred.Deferred<StopSignal>,
  options: Options,
  token: string | undefined
) {
  const model = yield* servedModel(options)
  const metrics = metricsPage()
  watchGenerator(model, metrics, (yield* ModelRuntime).memory)
  const admitted = admission(options)
  const { maxResponses } = options
  const { inFlight, url } = yield* serveHttp({
    routes: [
      ...openaiRoutes({ model, limits: options, admission: admitted, metrics, maxResponses }),
      ...statusRoutes(metrics, fingerprint(model))
    ],
    limits: options,
    access: token === undefined ? loopbackAccess : bearerAccess(token),
    admission: admitted,
    metrics,
    host: options.host,
    port: options.port
  })
  yield* remark(`serving ${model.id} on ${url}/v1${token === undefined ? "" : ", with a token"}; Ctrl-C stops it`)
  const signal = yield* Deferred.await(stopped)
  yield* remark(
    `${signal}: ${inFlight()} requests have ${options.maxDrainSeconds} s to finish; once more quits at once`
  )
})

const servedModel = Effect.fnUntraced(function* (options: Options) {
  const { model, tokenizer } = yield* openModel(options.model)
  const { cacheTokens, maxConcurrency, maxQueue, maxRows } = options
  const engine = { maxRows, tokenizer, queueRequests: maxQueue + maxConcurrency, cacheTokens }
  const generator = Context.get(yield* Layer.build(Generator.layerModel(model, engine)), Generator)
  const served: ServedModel = {
    id: options.name ?? basename(resolve(options.model)),
    aliases: [options.model],
    created: Math.floor(Date.now() / 1000),
    tokenizer,
    generator,
    endTokens: model.endTokens
  }
  return served
})
