import { Progress, StopRequest } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { listenForStop } from "./stop-listener.ts"

/**
 * The first SIGINT or SIGTERM asks what runs to stop, a loop after its step with a checkpoint; a later one ends the process.
 * A signal is seen between steps.
 *
 * @param told what comes of it
 */
export const stopSignals = (told: string) =>
  Layer.effect(
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
            note(`${signal}: ${told}; once more quits at once`)
          })
        ),
        (stop) => Effect.sync(stop)
      )
      return () => asked
    })
  )
