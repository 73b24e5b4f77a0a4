import { Progress, StopRequest } from "@plumbline/training"
import { Effect, Layer } from "effect"

/** What a shell reports for a process that these signals ended. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof EXIT_CODES

/** npm passes on a Ctrl-C that the terminal already delivered: what comes this soon is the same request. */
const SAME_REQUEST_MS = 500

/**
 * The first SIGINT or SIGTERM asks the loop to stop after its step with a checkpoint, a later one ends the process.
 * A signal is seen between steps.
 */
export const stopSignals = Layer.effect(
  StopRequest,
  Effect.gen(function* () {
    const context = yield* Effect.context<Progress>()
    const note = (line: string) =>
      Effect.runForkWith(context)(Effect.flatMap(Progress, (progress) => progress.note(line)))
    let asked: number | undefined
    const onSignal = (signal: StopSignal) => {
      const now = performance.now()
      if (asked === undefined) {
        asked = now
        note(`${signal}: stopping after this step, with a checkpoint; once more quits at once`)
      } else if (now - asked > SAME_REQUEST_MS) {
        process.exit(EXIT_CODES[signal])
      }
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => void process.on("SIGINT", onSignal).on("SIGTERM", onSignal)),
      () => Effect.sync(() => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal))
    )
    return () => asked !== undefined
  })
)
