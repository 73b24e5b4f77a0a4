import { type NotStorable, RunStore, type RunUnknown, type StoreUnavailable } from "@plumbline/store"
import { Context, Effect, Layer } from "effect"

type Recording = Effect.Effect<void, StoreUnavailable | RunUnknown | NotStorable>

/** What the loop tells the store about a run besides its metrics. */
export interface RunJournalShape {
  readonly checkpoint: (
    step: number,
    folder: string,
    metric: { readonly name: string; readonly value: number } | undefined
  ) => Recording
  readonly checkpointRemoved: (step: number) => Recording
}

export class RunJournal extends Context.Service<RunJournal, RunJournalShape>()("@plumbline/training/RunJournal") {
  /** For a process that writes nothing of the run. */
  static readonly layerSilent: Layer.Layer<RunJournal> = Layer.succeed(RunJournal, {
    checkpoint: () => Effect.void,
    checkpointRemoved: () => Effect.void
  })

  /** Into the store, under a run that was registered there. */
  static readonly layerStore = (runId: string): Layer.Layer<RunJournal, never, RunStore> =>
    Layer.effect(
      RunJournal,
      Effect.map(RunStore, (store) => ({
        checkpoint: (step, folder, metric) =>
          store.recordCheckpoint(runId, { step, folder, ...(metric === undefined ? {} : { metric }) }),
        checkpointRemoved: (step) => store.removeCheckpoint(runId, step)
      }))
    )
}
