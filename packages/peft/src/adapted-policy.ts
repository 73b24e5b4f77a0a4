import {
  type CausalLM,
  copyModel,
  type JsonObject,
  type LoadError,
  loadCausalLM,
  type Model,
  Policy,
  ReferencePolicy
} from "@plumbline/models"
import { loadTokenizer } from "@plumbline/data"
import type { ModelRuntime } from "@plumbline/runtime"
import { Effect, Layer, type Scope } from "effect"
import { adaptNew, type Adapted } from "./adapt.ts"
import { adapterChoice, type AdapterOptions, isAdapted } from "./adapter-options.ts"
import type { AdapterUnfit } from "./errors.ts"
import type { AdapterMethod } from "./method.ts"
import { type AdapterError, fitting, loadAdapter } from "./file/load-adapter.ts"

export interface AdaptedFolder {
  /** Seed of a new adapter. */
  readonly seed: number
  /** Folder of the base, as adapter_config.json is to name it. */
  readonly baseFolder: string
  /** Modules that a new adapter trains in full whatever options say. */
  readonly alsoTrained?: ReadonlyArray<string>
  /** Further fields of adapter_config.json. */
  readonly configFields?: JsonObject
}

/** What reading or beginning an adapter can fail with. */
export type AdaptedError = AdapterError | Effect.Error<ReturnType<typeof loadTokenizer>>

/** Puts the adapter that options ask for on a frozen base; it goes with the scope. The base itself where they ask for none. */
export const adaptedBy = Effect.fnUntraced(function* <M extends Model>(
  base: M,
  options: AdapterOptions,
  { alsoTrained = [], baseFolder, configFields = {}, seed }: AdaptedFolder
): Effect.fn.Return<M, AdaptedError, Scope.Scope> {
  const { virtualTokenText: text } = options
  const textIds = text === undefined ? undefined : (yield* loadTokenizer(baseFolder)).encode(text)
  const choice = yield* adapterChoice(options, textIds)
  if (choice === undefined) return base
  const described = { baseFolder, configFields }
  const made: Effect.Effect<Adapted<M>, AdapterError | AdapterUnfit> = "folder" in choice
    ? loadAdapter(base, choice.folder, { trainable: true, ...described })
    : fitting(() => adaptNew(base, withTrained(choice.method, alsoTrained), seed, described))
  const { model } = yield* Effect.acquireRelease(made, (adapted) => Effect.sync(adapted.model.dispose))
  return model
})

/** The base with the adapter of a folder, not to be trained, or itself where none is named. The adapter goes with the scope. */
export const adaptedForUse = <M extends Model>(base: M, adapter: string | undefined) =>
  adapter === undefined
    ? Effect.succeed(base)
    : Effect.acquireRelease(loadAdapter(base, adapter, { trainable: false }), ({ model }) =>
        Effect.sync(model.dispose)
      ).pipe(Effect.map(({ model }) => model))

const withTrained = (method: AdapterMethod, more: ReadonlyArray<string>): AdapterMethod => ({
  ...method,
  trainedModules: [...new Set([...method.trainedModules, ...more])]
})

/** The policy of a folder with the adapter that options ask for, which alone is trained; all of it where they ask for none. */
export const adaptedPolicy = (
  folder: string,
  options: AdapterOptions,
  seed: number
): Layer.Layer<Policy, LoadError | AdaptedError, ModelRuntime> =>
  Layer.effect(
    Policy,
    Effect.gen(function* () {
      const trainable = !isAdapted(options)
      const base: CausalLM = yield* Effect.acquireRelease(
        loadCausalLM(folder, { name: "policy", trainable, quantised: options.quantised === true }),
        (model) => Effect.sync(model.dispose)
      )
      return yield* adaptedBy(base, options, { seed, baseFolder: folder })
    })
  )

/** The policy with its adapter off, which must have one: the base it is on, at no memory. */
export const bareReference: Layer.Layer<ReferencePolicy, never, Policy> = Layer.effect(
  ReferencePolicy,
  Effect.map(Policy, ({ bare, name }) => {
    if (bare === undefined) throw new TypeError(`model ${name} has no adapter`)
    return bare("reference") as CausalLM
  })
)

/** A copy of the policy as it is now whose weights can be set between steps; of an adapted one the adapter alone is copied. */
export const movableReference: Layer.Layer<ReferencePolicy, never, Policy> = Layer.effect(
  ReferencePolicy,
  Effect.flatMap(Policy, (policy) =>
    Effect.acquireRelease(
      Effect.sync(() => copyModel(policy, "reference", true)),
      (model) => Effect.sync(model.dispose)
    )
  )
)
