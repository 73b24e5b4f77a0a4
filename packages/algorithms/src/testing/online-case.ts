import { batchSampler, Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import { Reward, type RewardRule, type RewardShape } from "@plumbline/reward-model"
import { Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { ModelRuntime } from "@plumbline/runtime"
import {
  type Algorithm,
  type Dataset,
  type DataUnit,
  type MicroBatch,
  MetricSink,
  RunJournal,
  train,
  trainingOptions
} from "@plumbline/training"
import { Effect, Layer } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SupervisedData } from "../supervised/supervised-data.ts"
import { opponentEngine } from "../iterative/opponent-engine.ts"
import { OpponentGenerator } from "../iterative/opponent-generator.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { row, smallModel, VOCABULARY } from "./small-models.ts"

/** Ends a response of the small model. */
export const STOP = VOCABULARY - 1

/** A chat is its texts. */
const tokenizer = Tokenizer.layer({
  ...testTokenizer,
  stopIds: [STOP],
  renderChat: (messages) => messages.map(({ content }) => content).join("")
})

/** Eight prompts of one or two tokens. */
const prompts: ReadonlyArray<PromptUnit> = Array.from({ length: 8 }, (_, i) => {
  const ids = Int32Array.from({ length: 1 + (i % 2) }, (_, t) => 1 + ((3 * i + t) % 10))
  return {
    row: { ids, lossMask: new Uint8Array(ids.length), record: { kind: "ids" as const, ids } },
    tokens: ids.length,
    origin: `prompts.jsonl:${i + 1}`
  }
})

/** Demonstrations that always answer 3 4 5 and stop. */
const demonstrations = prompts.map(({ origin, row: { ids } }) => ({
  row: row([...ids, 3, 4, 5, STOP], ids.length),
  tokens: ids.length + 4,
  origin
}))

const dataset = <U extends DataUnit>(units: ReadonlyArray<U>, microBatchSize: number): Dataset<U> => ({
  units,
  heldOut: [],
  sampler: batchSampler({ rows: units.length, batchSize: 4, seed: 1, shuffle: true }),
  split: { count: microBatchSize },
  layout: "packed",
  padId: 0,
  maxLength: 12
})

/** Everything that algorithms which write their own responses ask for. */
type Needs =
  | OpponentGenerator
  | Policy
  | ReferencePolicy
  | ReferenceLogProbs
  | PromptData
  | SupervisedData
  | Generator
  | Reward
  | Tokenizer

export interface OnlineRun {
  /** Who writes the responses; "policy" when absent. */
  readonly author?: "policy" | "reference"
  readonly rules?: ReadonlyArray<RewardRule>
  /** Judges in the place of rules. */
  readonly judge?: RewardShape
  /** Share of the reference in the opponent of duels; the reference itself when absent. */
  readonly mixture?: number
  readonly steps: number
  readonly learningRate?: number
  readonly microBatchSize?: number
  readonly backend?: typeof ModelRuntime.layerWasm
  /** Of a run that saves, and goes on where it has been. */
  readonly folder?: string
  readonly saveEvery?: number
  /** What becomes of the policy's engine. */
  readonly served?: (engine: GeneratorShape) => GeneratorShape
}

export interface OnlineResult {
  /** The metrics of every step of this call. */
  readonly steps: ReadonlyArray<Readonly<Record<string, number>>>
  /** What `look` saw in the end. */
  readonly seen: number
}

/** Runs an algorithm on small models and a real engine. @param look at the trained policy, in the end */
export const runOnline = <B extends MicroBatch, E>(
  algorithm: Algorithm<{ readonly policy: CausalLM }, B, E, Needs>,
  {
    author = "policy",
    backend = ModelRuntime.layerWasm,
    learningRate = 0.02,
    mixture,
    rules = [],
    steps,
    ...rest
  }: OnlineRun,
  look: (policy: CausalLM) => number = () => 0
): Effect.Effect<OnlineResult, unknown> => {
  const { folder = mkdtempSync(join(tmpdir(), "plumbline-online-")), judge, microBatchSize = 4, saveEvery = 0 } = rest
  const { served = (engine: GeneratorShape) => engine } = rest
  const options = trainingOptions({
    maxSteps: steps,
    learningRate,
    lrSchedule: "constant",
    saveEvery
  })
  const model = (seed: number) =>
    Effect.acquireRelease(
      Effect.sync(() => smallModel(seed)),
      (made) => Effect.sync(made.dispose)
    )
  const own = Layer.effect(Generator, Effect.map(Generator, served))
  const engine =
    author === "policy" ? Layer.provide(own, Generator.layerEngine({ maxRows: 16 })) : opponentEngine({ maxRows: 16 })
  const opponent =
    mixture === undefined
      ? OpponentGenerator.layerReference({ maxRows: 16 })
      : OpponentGenerator.layerMixture(mixture, { maxRows: 16 })
  const data = Layer.mergeAll(
    Layer.succeed(PromptData, dataset(prompts, microBatchSize)),
    Layer.succeed(SupervisedData, dataset(demonstrations, microBatchSize)),
    judge === undefined ? Reward.layerRules(...rules) : Layer.succeed(Reward, judge),
    tokenizer
  )
  const models = Layer.merge(Layer.effect(Policy, model(5)), Layer.effect(ReferencePolicy, model(5)))
  return Effect.gen(function* () {
    const rows: Array<Readonly<Record<string, number>>> = []
    const sink = {
      write: (_: number, metrics: Readonly<Record<string, number>>) => Effect.sync(() => void rows.push(metrics)),
      truncate: () => Effect.void
    }
    const { models: trained } = yield* train({ algorithm, options, folder, extraFiles: {} }).pipe(
      Effect.provideService(MetricSink, sink),
      Effect.provideService(RunJournal, { checkpoint: () => Effect.void, checkpointRemoved: () => Effect.void })
    )
    return { steps: rows, seen: look(trained.policy) }
  }).pipe(
    Effect.provide([ReferenceLogProbs.layer, engine, opponent]),
    Effect.provide(models),
    Effect.provide(data),
    Effect.provide(backend)
  ) as Effect.Effect<OnlineResult, unknown>
}

/** Mean of a metric over the last few steps. */
export const late = (steps: OnlineResult["steps"], name: string, count = 5): number => {
  const values = steps.slice(-count).flatMap((metrics) => metrics[name] ?? [])
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
