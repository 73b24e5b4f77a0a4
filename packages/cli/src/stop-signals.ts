import { Progress, StopRequest } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { listenForStop } from "./stop-listener.ts"

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
    let asked = false
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        listenForStop((signal) => {
          asked = true
          note(`${signal}: stopping after this step, with a checkpoint; once more quits at once`)
        })
      ),
      (stop) => Effect.sync(stop)
    )
    return () => asked
  })
)
