// a reader of results that went away, as in `plumb runs | head`, ends the command; so does a full disk, which is a failure
process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (code === "EPIPE") process.exit(process.exitCode ?? 0)
  process.stderr.write(`error: the results cannot be written: ${message}\n`)
  process.exit(1)
})
// remarks that nobody reads change nothing
process.stderr.on("error", () => {})

const [{ Cause }, { endWithLauncher }, { renderFailure }, { runCommandLine }, { usesColour }] = await Promise.all([
  import("effect"),
  import("./launch.ts"),
  import("./render-error.ts"),
  import("./run-command-line.ts"),
  import("./terminal.ts")
])

// What is thrown where nobody waits for it, as in a timer of a recipe. Before a backend's own handlers, which throw it again.
const end = (error: unknown) => {
  process.stderr.write(renderFailure(Cause.die(error), usesColour(process.stderr)).standardError)
  process.exit(1)
}
process.on("uncaughtException", end).on("unhandledRejection", end)

// Nothing is left that could end what is awaited. Node would end with 13 and a line of ours.
const forsaken = () => {
  process.stderr.write(
    "error: it waits for what can no longer come, such as a promise of a recipe that nobody settles\n"
  )
  process.exit(1)
}
process.on("beforeExit", forsaken)

endWithLauncher()
await runCommandLine(process.argv.slice(2))
process.off("beforeExit", forsaken)
