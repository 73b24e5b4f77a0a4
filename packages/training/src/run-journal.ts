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
