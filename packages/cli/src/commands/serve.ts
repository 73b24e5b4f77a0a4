import {
  admission,
  bearerAccess,
  isLoopback,
  loopbackAccess,
  metricsPage,
  serveHttp,
  statusRoutes
} from "@plumbline/serving"
import { Deferred, Effect } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { engineFields } from "../engine-fields.ts"
import { parseCommand } from "../parse-command.ts"
import { scorerFields, ServeOptions, serverLimits, TOKEN_VARIABLE, weightsFields } from "../serve/serve-options.ts"
import { nameOf, serviceOf } from "../serve/services.ts"
import { listenForStop, type StopSignal } from "../stop-listener.ts"
import { remark } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

const line: CommandLine<typeof ServeOptions> = {
  name: "serve",
  usage: "--model DIR [--adapter name=DIR …] [--port N]",
  summary:
    "serves OpenAI's API: /v1/completions, /v1/chat/completions, /v1/models; a reward model: /v1/rewards, /v1/values; /health, /ready, /metrics",
  arguments: [],
  options: ServeOptions,
  group: (field) => {
    if (field in scorerFields) return "Reward models"
    if (field in weightsFields) return "Weights of a run that trains them"
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
    if (options.acceptWeights && token === undefined) {
      return yield* refused(
        `--accept-weights needs a token, in ${TOKEN_VARIABLE} or with --token: weights are set by who has it`
      )
    }
    yield* checkOrigins(options, token)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const stopped = yield* stopSignal
        yield* Effect.scoped(serveUntil(stopped, options, token)).pipe(onMachine(options))
        yield* remark("stopped")
      })
    )
  })

/** The token of the flag, else of the environment; a host that others reach must have one. */
export const tokenOf = ({
  host,
  token = process.env[TOKEN_VARIABLE] || undefined
}: Pick<ServeOptions, "host" | "token">) => {
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

/** An origin is what browsers send of a page: no path, no slash at the end. */
const checkOrigins = ({ allowOrigin = [] }: ServeOptions, token: string | undefined) => {
  const wrong = allowOrigin.find((origin) => origin !== "*" && originOf(origin) !== origin)
  if (wrong !== undefined) {
    return refused(`--allow-origin ${wrong} is no origin, as http://localhost:3000 is: scheme, host and port alone`)
  }
  return allowOrigin.includes("*") && token === undefined
    ? refused(`--allow-origin * would let any page use the server: give a token, in ${TOKEN_VARIABLE} or with --token`)
    : Effect.void
}

const originOf = (text: string): string | undefined => {
  if (!URL.canParse(text)) return undefined
  const { host, origin, protocol } = new URL(text)
  // of browsers' extensions, which have schemes of their own
  return origin === "null" ? `${protocol}//${host}` : origin
}

const refused = (problem: string) =>
  Effect.fail(new UsageError({ problems: [problem], help: "plumb serve --help lists the options" }))

/** The first signal to stop; a second one ends the process. */
export const stopSignal = Effect.gen(function* () {
  const stopped = yield* Deferred.make<StopSignal>()
  yield* Effect.acquireRelease(
    Effect.sync(() => listenForStop((signal) => Deferred.doneUnsafe(stopped, Effect.succeed(signal)))),
    (stop) => Effect.sync(stop)
  )
  return stopped
})

const serveUntil = Effect.fnUntraced(function* (
  stopped: Deferred.Deferred<StopSignal>,
  options: ServeOptions,
  token: string | undefined
) {
  const metrics = metricsPage()
  const admitted = admission(options)
  const { routes, working } = yield* serviceOf(options, admitted, metrics)
  const { inFlight, url } = yield* serveHttp({
    routes: [...routes, ...statusRoutes(metrics, working)],
    limits: options,
    access: token === undefined ? loopbackAccess : bearerAccess(token),
    allowedOrigins: options.allowOrigin,
    admission: admitted,
    metrics,
    host: options.host,
    port: options.port,
    pulsePort: options.pulsePort
  })
  yield* remark(
    `serving ${nameOf(options)} on ${url}/v1${token === undefined ? "" : ", with a token"}; Ctrl-C stops it`
  )
  const signal = yield* Deferred.await(stopped)
  yield* remark(
    `${signal}: ${inFlight()} requests have ${options.maxDrainSeconds} s to finish; once more quits at once`
  )
})
