import { enableCompileCache } from "node:module"

// Modules compile once per installation, not once per call; where the cache cannot be written this does nothing.
enableCompileCache()

/** A reader that went away, as in `plumb runs | head`, is no error. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (cause: NodeJS.ErrnoException) => {
    if (cause.code !== "EPIPE") throw cause
    process.exit(process.exitCode ?? 0)
  })
}

const [{ Effect, Exit }, { plumb }, { renderFailure }, { usesColour }] = await Promise.all([
  import("effect"),
  import("./plumb.ts"),
  import("./render-error.ts"),
  import("./terminal.ts")
])

const exit = await Effect.runPromiseExit(plumb(process.argv.slice(2)))
if (Exit.isFailure(exit)) {
  const { exitCode, standardError, standardOutput } = renderFailure(exit.cause, usesColour(process.stderr))
  process.stdout.write(standardOutput)
  process.stderr.write(standardError)
  process.exitCode = exitCode
}
