import type { RecipeServices, TrainResult } from "@plumbline/training"
import type { Effect, Schema } from "effect"
import { dpoCommand } from "./preference/dpo-command.ts"
import { sftCommand } from "./supervised/sft-command.ts"

/** An algorithm as the command line runs it: options from flags, models and data from folders and files. */
export interface Builtin<Options extends Schema.Struct<Schema.Struct.Fields> = Schema.Struct<Schema.Struct.Fields>> {
  readonly name: string
  readonly summary: string
  /** Every field is a flag. */
  readonly options: Options
  readonly run: (
    options: Options["Type"]
  ) => Effect.Effect<TrainResult<unknown>, { readonly _tag: string; readonly message: string }, RecipeServices>
}

/** The algorithms that `plumb` has commands for. */
export const builtins: ReadonlyArray<Builtin> = [
  sftCommand,
  dpoCommand
] as ReadonlyArray<unknown> as ReadonlyArray<Builtin>
