import { Context, Effect, Layer } from "effect"
import { join } from "node:path"

/** How a run was asked for. */
export interface Invocation {
  /** A command of `plumb`: "sft", "dpo", "run" … */
  readonly command: string
  /** Its resolved options as plain data: calling the command with them starts the same run. */
  readonly options: Readonly<Record<string, unknown>>
}

export interface RunContextShape {
  /** The folder the run writes. */
  readonly output: string
  /** A run that is already in `output` goes on; false makes it an error. */
  readonly resume: boolean
  readonly invocation: Invocation
}

/** Where a run writes and what it was started with. The command line provides it. */
export class RunContext extends Context.Service<RunContext, RunContextShape>()("@plumbline/training/RunContext") {
  static readonly layer = (context: RunContextShape): Layer.Layer<RunContext> => Layer.succeed(RunContext, context)
}

/** Runs `effect` as one stage of a longer run: its folder is `output/name`. */
export const stage = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | RunContext> =>
  Effect.updateService(effect, RunContext, (context) => ({ ...context, output: join(context.output, name) }))
