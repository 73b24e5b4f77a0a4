import type { Effect } from "effect"

/** Every expected failure has a tag and says in words what went wrong. */
export interface CommandFailure {
  readonly _tag: string
  readonly message: string
}

/** A command, given the arguments after its name. */
export type CommandRun = (argv: ReadonlyArray<string>) => Effect.Effect<void, CommandFailure>

/** A command as the list of commands shows it; its code and what that needs are loaded when it runs. */
export interface Command {
  readonly name: string
  readonly usage: string
  readonly summary: string
  readonly load: () => Promise<CommandRun>
}
