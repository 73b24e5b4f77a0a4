import type { Schema } from "effect"
import type { Builtin } from "./builtin.ts"
import { dpoCommand } from "./preference/dpo-command.ts"
import { ktoCommand } from "./unpaired/kto-command.ts"
import { sftCommand } from "./supervised/sft-command.ts"

/** A builtin whose options and rows the caller need not know. */
export type AnyBuiltin = Builtin<Schema.Struct<Schema.Struct.Fields>, unknown>

/** The algorithms that `plumb` has commands for. */
export const builtins: ReadonlyArray<AnyBuiltin> = [
  sftCommand,
  dpoCommand,
  ktoCommand
] as ReadonlyArray<unknown> as ReadonlyArray<AnyBuiltin>
