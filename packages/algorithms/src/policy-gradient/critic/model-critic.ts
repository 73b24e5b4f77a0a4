import { collate, type CollateOptions, type TokenizedRow } from "@plumbline/data"
import { openTensors, restoreWeights, saveModel, type ScalarModel, writeTensors } from "@plumbline/models"
import { Processes, type ProcessesShape, tf } from "@plumbline/runtime"
import { adamw, applyStep, beginStep, makeFolder, type Optimizer } from "@plumbline/training"
import { Effect, Fiber, type Scope, Semaphore } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { balanced, type RowSplit } from "../rollout/balanced.ts"
import { CriticFailed, type CriticLesson, type CriticShape } from "./critic.ts"
import { tokenValues, valueBatch, valueObjective } from "./value-objective.ts"

export interface CriticOptions extends CollateOptions {
  readonly learningRate: number
  readonly weightDecay: number
  readonly adamBeta1: number
  readonly adamBeta2: number
  readonly adamEpsilon: number
  /** Clips its own gradient; 0 = off. */
  readonly maxGradNorm: number
  /** c of the value clip; 0 = off. */
  readonly valueClip: number
  readonly split: RowSplit
  /** Files that go with the saved model, such as the tokenizer's. */
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
}

/**
 * A critic in this process, with an optimizer of its own. Lives as long as the scope. Processes that share a run learn each step
 * together, as they do the policy's; each asks about responses of its own.
 */
export const modelCritic = (
  model: ScalarModel,
  options: CriticOptions
): Effect.Effect<CriticShape, never, Scope.Scope> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon: epsilon, weightDecay } = options
    const optimizer = yield* Effect.acquireRelease(
      Effect.sync(() => adamw({ critic: model }, { beta1, beta2, epsilon, weightDecay }, processes)),
      ({ dispose }) => Effect.sync(dispose)
    )
    const scope = yield* Effect.scope
    // one at a time, in the order in which they were asked
    const turn = yield* Semaphore.make(1)
    const inTurn = <A, E>(effect: Effect.Effect<A, E>) => turn.withPermit(effect)
    return {
      values: (rows) => inTurn(Effect.suspend(() => attempt("values", () => valuesOf(model, rows, options)))),
      train: (lesson) => {
        const learning = inTurn(learn(model, optimizer, lesson, { ...options, processes }))
        // in all processes between the same steps of the policy's
        if (processes.size > 1) return Effect.exit(learning)
        return Effect.map(Effect.forkIn(learning, scope, { startImmediately: true }), Fiber.join)
      },
      assist: inTurn(Effect.promise(() => optimizer.readParts([model]))),
      save: (folder) => inTurn(save(model, optimizer, join(folder, PLACE), options)).pipe(Effect.as(PLACE)),
      restore: (folder, where) => inTurn(restore(model, optimizer, join(folder, where)))
    }
  })

interface Learning extends CriticOptions {
  readonly processes: ProcessesShape
}

/** Its folder in a checkpoint's. */
const PLACE = "critic"
const MOMENTS = "moments.safetensors"
const STEPS = "steps.json"

const attempt = <A>(during: string, body: () => A): Effect.Effect<A, CriticFailed> =>
  Effect.try({
    try: body,
    catch: (cause) => new CriticFailed({ during, reason: cause instanceof Error ? cause.message : String(cause) })
  })

const valuesOf = (
  model: ScalarModel,
  rows: ReadonlyArray<TokenizedRow>,
  { layout, padId, split }: CriticOptions
): ReadonlyArray<Float32Array> => {
  const byRow: Array<Float32Array> = rows.map(() => new Float32Array(0))
  for (const part of balanced([...rows.keys()], (row) => rows[row]!.ids.length, split)) {
    const batch = collate(
      part.map((row) => rows[row]!),
      { layout, padId }
    )
    const values = tf.tidy(() => tokenValues(model, batch).dataSync() as Float32Array)
    part.forEach((row, r) => (byRow[row] = values.filter((_, m) => batch.scored.rows[m] === r)))
  }
  return byRow
}

const learn = Effect.fnUntraced(function* (
  model: ScalarModel,
  optimizer: Optimizer,
  { rows, steps }: CriticLesson,
  options: Learning
) {
  // once, with what it begins with or was restored
  optimizer.weights.divide()
  const objective = valueObjective(options.valueClip)
  const sums: Record<string, number> = {}
  for (const step of steps) {
    // a turn of the event loop between two steps: the policy learns meanwhile
    yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
    const batches = balanced(
      step.map((row) => rows[row]!),
      ({ row }) => row.ids.length,
      options.split
    ).map((part) => valueBatch(part, options))
    const metrics = yield* attempt("train", () => oneStep(model, optimizer, objective, batches, options))
    for (const [name, value] of Object.entries(metrics)) sums[name] = (sums[name] ?? 0) + value / steps.length
  }
  return Object.fromEntries(Object.entries(sums).map(([name, value]) => [`critic/${name}`, value]))
})

const oneStep = (
  critic: ScalarModel,
  optimizer: Optimizer,
  objective: ReturnType<typeof valueObjective>,
  batches: ReadonlyArray<ReturnType<typeof valueBatch>>,
  { learningRate, maxGradNorm, processes }: Learning
): Readonly<Record<string, number>> => {
  const begun = beginStep(objective, { critic }, batches, { processes })
  const { broken, brokenOrigins, metrics } = applyStep(optimizer, begun, learningRate, maxGradNorm)
  if (broken === undefined) return metrics
  const rows = brokenOrigins.length === 0 ? "" : ` (${brokenOrigins.slice(0, 3).join("; ")})`
  throw new Error(`${broken[0]} of a step is ${broken[1]}${rows}; it was not applied`)
}

const save = (model: ScalarModel, optimizer: Optimizer, folder: string, { extraFiles }: CriticOptions) =>
  Effect.gen(function* () {
    yield* saveModel(model, folder, { extraFiles, valuesOf: optimizer.weights.valuesOf })
    yield* writeTensors(join(folder, MOMENTS), optimizer.state())
    yield* attempt("save", () => {
      makeFolder(folder)
      writeFileSync(join(folder, STEPS), JSON.stringify({ steps: optimizer.steps() }))
    })
  }).pipe(Effect.mapError(({ message }) => new CriticFailed({ during: "save", reason: message })))

const restore = (model: ScalarModel, optimizer: Optimizer, folder: string) =>
  Effect.gen(function* () {
    yield* restoreWeights(model, folder)
    const { steps } = yield* attempt(
      "restore",
      () => JSON.parse(readFileSync(join(folder, STEPS), "utf8")) as { readonly steps: number }
    )
    yield* optimizer.restore(steps, yield* openTensors(join(folder, MOMENTS)))
  }).pipe(
    Effect.scoped,
    Effect.mapError(({ message }) => new CriticFailed({ during: "restore", reason: message }))
  )
