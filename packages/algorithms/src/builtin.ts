import type { RecipeServices, TrainResult } from "@plumbline/training"
import type { Effect, Schema } from "effect"
import type { DataKind } from "./data-file.ts"

/** When a copy of the model computes log-probs of the data: a frozen one, or at every step one that moves. */
export type ReferenceUse = "never" | "once" | "every step" | "moving"

/** An algorithm as the command line runs it: options from flags, models and data from folders and files. */
export interface Builtin<Options extends Schema.Struct<Schema.Struct.Fields>, Row> {
  readonly name: string
  /** Every field is a flag. */
  readonly options: Options
  /** How a run with these options reads its files. */
  readonly data: (options: Options["Type"]) => DataKind<Row>
  /** Whether it writes responses of its own, whose cost no plan knows; false when absent. */
  readonly generates?: boolean
  readonly referenceUse: (options: Options["Type"]) => ReferenceUse
  readonly run: (
    options: Options["Type"]
  ) => Effect.Effect<TrainResult<unknown>, { readonly _tag: string; readonly message: string }, RecipeServices>
}
