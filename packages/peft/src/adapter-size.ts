import { causalParameters, type DecoderConfig } from "@plumbline/models"
import { Effect } from "effect"
import { adapterTensors } from "./adapter.ts"
import { adapterChoice, type AdapterOptions } from "./adapter-options.ts"
import type { AdapterInvalid, AdapterUnfit } from "./errors.ts"
import { readMethod } from "./file/adapter-config.ts"
import { fitting } from "./file/load-adapter.ts"
import { type Adaptable, refuseUnmatched, selectModules } from "./targets.ts"

/** What an adapter adds to a model. */
export interface AdapterSize {
  /** Numbers that are trained. */
  readonly trained: number
  /** Numbers in its folder. */
  readonly stored: number
  /** Linear layers that it sits on, by name. */
  readonly modules: ReadonlyArray<string>
  /** Whether it begins as what the base is, which then is its reference policy. */
  readonly isNew: boolean
}

/** Size of the adapter that options ask for on a model of this configuration; undefined where they ask for none. No weights are read. */
export const adapterSize = Effect.fnUntraced(function* (
  config: DecoderConfig,
  options: AdapterOptions
): Effect.fn.Return<AdapterSize | undefined, AdapterInvalid | AdapterUnfit> {
  const choice = yield* adapterChoice(options)
  if (choice === undefined) return undefined
  const method = "folder" in choice ? (yield* readMethod(choice.folder, config)).method : choice.method
  return yield* fitting(() => {
    const model = withoutValues(config)
    const sizes = adapterTensors(method, model).map(({ shape, trained = true }) => ({ trained, size: sizeOf(shape) }))
    const modules = selectModules(model, method.selection)
    if ("method" in choice) refuseUnmatched(modules, method.patterns)
    const sum = (parts: typeof sizes) => parts.reduce((total, { size }) => total + size, 0)
    return {
      trained: sum(sizes.filter(({ trained }) => trained)),
      stored: sum(sizes),
      modules: modules.map(({ name }) => name),
      isNew: "method" in choice && method.startsNeutral
    }
  })
})

const sizeOf = (shape: ReadonlyArray<number>): number => shape.reduce((product, length) => product * length, 1)

/** A model's shapes. */
const withoutValues = (config: DecoderConfig): Adaptable => ({
  config,
  parameters: new Map(causalParameters(config).map((spec) => [spec.name, spec])),
  weights: {
    tensor: (name) => {
      throw new Error(`there are no values of ${name}`)
    },
    linear: () => {
      throw new Error("there are no values to compute with")
    },
    linears: () => {
      throw new Error("there are no values to compute with")
    }
  }
})
