import { enableCompileCache } from "node:module"

// Modules compile once per installation, not once per call; where the cache cannot be written this does nothing.
enableCompileCache()

/** A reader of results that went away, as in `plumb runs | head`, ends the command; one of remarks changes nothing. */
const onBrokenPipe = (end: () => void) => (cause: NodeJS.ErrnoException) => {
  if (cause.code !== "EPIPE") throw cause
  end()
}
process.stdout.on(
  "error",
  onBrokenPipe(() => process.exit(process.exitCode ?? 0))
)
process.stderr.on(
  "error",
  onBrokenPipe(() => {})
)

const [{ Effect, Exit, Logger }, { plumb }, { renderFailure }, { usesColour }] = await Promise.all([
  import("effect"),
  import("./plumb.ts"),
  import("./render-error.ts"),
  import("./terminal.ts")
])

const command = plumb(process.argv.slice(2)).pipe(Effect.provideService(Logger.LogToStderr, true))
const exit = await Effect.runPromiseExit(command)
if (Exit.isFailure(exit)) {
  const { exitCode, standardError, standardOutput } = renderFailure(exit.cause, usesColour(process.stderr))
  process.stdout.write(standardOutput)
  process.stderr.write(standardError)
  process.exitCode = exitCode
}
