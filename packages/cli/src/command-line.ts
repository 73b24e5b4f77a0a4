import { type Schema } from "effect"
import type { OptionSchema } from "./flags.ts"

/** An argument without dashes. All are needed. */
export interface Argument {
  /** In capitals, as the usage line shows it. */
  readonly name: string
  readonly description: string
}

/** What a command takes, as data: its help and its parsing come from here. */
export interface CommandLine<Options extends OptionSchema> {
  /** After `plumb`: "sft", "plan dpo". */
  readonly name: string
  /** What follows the name in the usage line. */
  readonly usage: string
  readonly summary: string
  readonly arguments: ReadonlyArray<Argument>
  readonly options: Options
  /** Heading of a field in the help. */
  readonly group: (field: string) => string
  /** Takes `--config FILE` too. */
  readonly configFile: boolean
}

/** A command line that was understood. */
export interface ParsedCommand<Options extends Schema.Top> {
  readonly options: Options["Type"]
  /** The same as plain data: every option resolved. */
  readonly encoded: Readonly<Record<string, unknown>>
  /** In the order of `arguments`. */
  readonly arguments: ReadonlyArray<string>
}
