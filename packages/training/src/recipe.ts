import type { ModelRuntime } from "@plumbline/runtime"
import type { RunStore } from "@plumbline/store"
import type { Effect, Schema } from "effect"
import type { RunContext } from "./run-context.ts"
import type { Progress } from "./sinks/progress.ts"

/** What a recipe may use without providing it: the command line does. */
export type RecipeServices = ModelRuntime | RunContext | RunStore | Progress

/** One reproducible run: the default export of a recipe file. */
export interface Recipe<Params extends Schema.Top, A, E> {
  readonly name: string
  /** Its parameters, a Struct of fields made with `option`, `optional` and `needed`: flags of `plumb run`. */
  readonly params: Params
  readonly run: (params: Params["Type"]) => Effect.Effect<A, E, RecipeServices>
}

/** Types a recipe: what it needs beyond the command line's services must be provided, or it does not compile. */
export const recipe = <Params extends Schema.Top, A, E>(definition: Recipe<Params, A, E>): Recipe<Params, A, E> =>
  definition
