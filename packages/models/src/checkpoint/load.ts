import { ModelRuntime, narrowed, type Tensor, tf } from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import { causalLM } from "../causal-lm.ts"
import { causalParameters } from "../decoder/parameter-table.ts"
import type { LoadError } from "../errors.ts"
import { builtInFamilies } from "../families/families.ts"
import type { Family } from "../families/family.ts"
import type { CausalLM } from "../model.ts"
import { parameterStore } from "../parameter-store.ts"
import { readConfig, readGenerationConfig } from "./folder.ts"
import { readParameters } from "./read-parameters.ts"

export interface LoadOptions {
  /** Whether the parameters are variables that an optimizer may update. */
  readonly trainable: boolean
  readonly name: string
  /** The families config.json may name; the built-in ones when absent. */
  readonly families?: ReadonlyArray<Family>
}

/** Products read a frozen matrix alone, and would narrow it: the wide one is not kept. */
const narrowMatrix = (matrix: Tensor): Tensor => {
  const narrow = narrowed(matrix)
  matrix.dispose()
  return narrow
}

/** Loads a Hugging Face model folder. The caller disposes of the model. */
export const loadCausalLM = Effect.fn("loadCausalLM")(function* (
  folder: string,
  { families = builtInFamilies, name, trainable }: LoadOptions
): Effect.fn.Return<CausalLM, LoadError, ModelRuntime> {
  yield* ModelRuntime
  const config = yield* readConfig(folder, families)
  const generationConfig = yield* readGenerationConfig(folder)
  const store = parameterStore(name, trainable)
  yield* readParameters(folder, config, causalParameters(config), (spec, values) => {
    const tensor = tf.tensor(values, [...spec.shape])
    store.add(spec.name, trainable || tensor.rank !== 2 ? tensor : narrowMatrix(tensor))
  }).pipe(Effect.onExit((exit) => Effect.sync(() => Exit.isFailure(exit) && store.dispose())))
  const { dispose, parameters } = store
  return causalLM({ name, config, generationConfig, parameters, variables: store.variables(), dispose })
})
