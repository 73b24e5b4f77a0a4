import { criticModel, modelCritic } from "@plumbline/algorithms"
import { loadTokenizer } from "@plumbline/data"
import { adapterFields } from "@plumbline/peft"
import { admission, bearerAccess, loopbackAccess, metricsPage, serveHttp, statusRoutes } from "@plumbline/serving"
import { batchFields, needed, NonNegative, optimizationFields, option, Positive } from "@plumbline/training"
import { Deferred, Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { ServeOptions, serverLimits } from "../serve/serve-options.ts"
import { criticRoutes } from "../serve-critic/critic-routes.ts"
import { remark } from "../terminal.ts"
import { stopSignal, tokenOf } from "./serve.ts"

const { host, port, pulsePort, token } = ServeOptions.fields
const { adamBeta1, adamBeta2, adamEpsilon, maxGradNorm, weightDecay } = optimizationFields
const { microBatchSize, microBatchTokens, packing, seed } = batchFields

const trainingFields = {
  learningRate: option(Positive, 9e-6, "learning rate of AdamW, constant"),
  valueClip: option(NonNegative, 0.2, "values gain nothing beyond this distance from the old ones; 0 = off"),
  weightDecay,
  adamBeta1,
  adamBeta2,
  adamEpsilon,
  maxGradNorm,
  microBatchSize,
  microBatchTokens,
  packing,
  seed
} as const

/** Its model is kept as it is, like a reward model. */
const { quantised: _ofPolicies, ...ownAdapterFields } = adapterFields

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of a reward model, or of one that gets a new head"),
  output: needed(Schema.NonEmptyString, "folder for its checkpoints, named as those of the policy"),
  host,
  port,
  pulsePort,
  token,
  ...ownAdapterFields,
  ...trainingFields,
  ...serverLimits,
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "serve-critic",
  usage: "--model DIR [--adapter DIR] --output DIR [--port N]",
  summary: "serves a critic to plumb ppo --critic-url: values, lessons, checkpoints; /health, /ready, /metrics",
  arguments: [],
  options: Options,
  group: (field) => {
    if (field in machineFields) return "Machine"
    if (field in serverLimits) return "Limits"
    if (field in ownAdapterFields) return "Adapter"
    return field in trainingFields ? "Training" : "Options"
  },
  configFile: false
}

/** Serves a critic until SIGTERM or Ctrl-C. */
export const serveCriticCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const bearer = yield* tokenOf(options)
    yield* Effect.gen(function* () {
      const stopped = yield* stopSignal
      yield* Effect.scoped(serving(options, bearer, stopped)).pipe(onMachine(options))
      yield* remark("stopped")
    }).pipe(Effect.scoped)
  })

const serving = Effect.fnUntraced(function* <A>(
  options: Options,
  bearer: string | undefined,
  stopped: Deferred.Deferred<A>
) {
  const { microBatchSize: count = 64, microBatchTokens: tokens } = options
  const tokenizer = yield* loadTokenizer(options.model)
  const model = yield* criticModel(options.model, { seed: options.seed, adapter: options, padId: tokenizer.padId })
  const critic = yield* modelCritic(model, {
    ...options,
    layout: options.packing ? "packed" : "padded-right",
    padId: tokenizer.padId,
    split: tokens === undefined ? { count } : { tokens },
    extraFiles: tokenizer.files
  })
  const metrics = metricsPage()
  const admitted = admission(options)
  const { vocabulary } = model.config
  const { url } = yield* serveHttp({
    routes: [
      ...criticRoutes({ critic, folder: options.output, vocabulary, limits: options, admission: admitted }),
      ...statusRoutes(metrics, Effect.succeed({}))
    ],
    limits: options,
    access: bearer === undefined ? loopbackAccess : bearerAccess(bearer),
    admission: admitted,
    metrics,
    host: options.host,
    port: options.port,
    pulsePort: options.pulsePort
  })
  yield* remark(`critic of ${options.model} on ${url}${bearer === undefined ? "" : ", with a token"}; Ctrl-C stops it`)
  yield* Deferred.await(stopped)
})
