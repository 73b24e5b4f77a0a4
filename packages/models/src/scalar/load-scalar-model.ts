import { ModelRuntime, Processes, ShardingUnsupported, tf } from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import type { LoadOptions } from "../checkpoint/load.ts"
import { narrowMatrix } from "../narrow-matrix.ts"
import { readConfig, readGenerationConfig } from "../checkpoint/folder.ts"
import { readParameters } from "../checkpoint/read-parameters.ts"
import { openWeights } from "../checkpoint/weights-files.ts"
import { decoderParameters, outputMatrixName } from "../decoder/parameter-table.ts"
import { HeadMissing, type LoadError } from "../errors.ts"
import { builtInFamilies } from "../families/families.ts"
import { parameterStore } from "../parameter-store.ts"
import { HEAD_WEIGHT, headOf, headParameter, withHead } from "./head.ts"
import { type NewHead, newHeadMatrix } from "./new-head.ts"
import { type ScalarModel, scalarModel } from "./scalar-model.ts"

export interface LoadScalarOptions extends Omit<LoadOptions, "quantised"> {
  /** Where it is given, the folder's own head or output matrix is left unread. */
  readonly head?: NewHead | undefined
  /** Token that fills up rows, noted in config.json where it has none and this ends no text. */
  readonly padId?: number | undefined
}

/**
 * Loads a decoder with a head: a folder of a sequence classifier, or any with a new head. The caller disposes of the model.
 */
export const loadScalarModel = Effect.fn("loadScalarModel")(function* (
  folder: string,
  { families = builtInFamilies, head: fresh, name, padId, trainable }: LoadScalarOptions
): Effect.fn.Return<ScalarModel, LoadError | HeadMissing, ModelRuntime> {
  yield* ModelRuntime
  if (trainable && (yield* Processes).sharding === "full") {
    const reason = "reward models and critics cannot be held in parts yet"
    return yield* new ShardingUnsupported({ reason })
  }
  const base = yield* readConfig(folder, families)
  const generationConfig = yield* readGenerationConfig(folder)
  const head = fresh ?? (yield* headOf(folder, base, yield* storedScores(folder)))
  const config = withHead(base, head, padId)
  const spec = headParameter(config, head)
  const decoderSpecs = decoderParameters(config)
  const specs = fresh === undefined ? [...decoderSpecs, spec] : decoderSpecs
  const store = parameterStore(name, trainable)
  yield* readParameters(
    folder,
    config,
    specs,
    ({ name: parameter, shape }, values) => {
      const tensor = tf.tensor(values, [...shape])
      // the head stays wide: scores are computed in float32
      store.add(parameter, trainable || parameter === HEAD_WEIGHT ? tensor : narrowMatrix(tensor))
    },
    [outputMatrixName(config), HEAD_WEIGHT]
  ).pipe(Effect.onExit((exit) => Effect.sync(() => Exit.isFailure(exit) && store.dispose())))
  if (fresh !== undefined) store.add(spec.name, newHeadMatrix(config, fresh))
  const { dispose, parameters } = store
  return scalarModel({ name, config, head, generationConfig, parameters, variables: store.variables(), dispose })
})

/** Whether a folder has a head, that is, holds a model that gives numbers. */
export const hasHead = Effect.fnUntraced(function* (folder: string) {
  // says so where there is no model at all
  yield* readConfig(folder)
  return yield* Effect.scoped(Effect.map(openWeights(folder), (stored) => stored.has(HEAD_WEIGHT)))
})

/** How many scores the folder's head gives. */
const storedScores = Effect.fnUntraced(function* (folder: string) {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const stored = (yield* openWeights(folder)).get(HEAD_WEIGHT)
      if (stored === undefined) return yield* new HeadMissing({ folder })
      return stored.file.tensors.get(stored.tensor)!.shape[0] ?? 0
    })
  )
})
