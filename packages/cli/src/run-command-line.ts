import { Effect, Exit, Logger } from "effect"
import { plumb } from "./plumb.ts"
import { renderFailure } from "./render-error.ts"
import { usesColour } from "./terminal.ts"

/**
 * Runs one command line to its end, and says how it failed where it did. `argv` is what follows `plumb`.
 *
 * The exit code is this process's, `process.exitCode`.
 */
export const runCommandLine = async (argv: ReadonlyArray<string>): Promise<void> => {
  const exit = await Effect.runPromiseExit(plumb(argv).pipe(Effect.provideService(Logger.LogToStderr, true)))
  if (Exit.isSuccess(exit)) return
  const { exitCode, standardError, standardOutput } = renderFailure(exit.cause, usesColour(process.stderr))
  process.stdout.write(standardOutput)
  process.stderr.write(standardError)
  process.exitCode = exitCode
}
