import type { SteppedModel, KeyValueCache } from "@plumbline/models"
import { type Committed, commitStep } from "./commit.ts"
import { countAhead } from "./group.ts"
import type { Roots } from "./roots.ts"
import type { Scheduler } from "./scheduler.ts"
import { type Flight, launchStep } from "./step.ts"

/** Steps of the model over the rows of a scheduler. */
export interface Stepper {
  /** @returns whether there was anything to do */
  readonly step: () => boolean
  /** The weights may be others, whatever their versions say. */
  readonly forgetWeights: () => void
  readonly dispose: () => void
}

/**
 * One that goes ahead gives the device the next step before the last one is read, where nothing in it depends on what is
 * read: the device then never waits for the host. A row that turns out to have ended has one token too many, which is dropped.
 */
export const makeStepper = (
  models: ReadonlyArray<SteppedModel>,
  cache: KeyValueCache,
  roots: Roots,
  scheduler: Scheduler,
  goAhead: boolean,
  onCommitted: (committed: Committed) => void
): Stepper => {
  const weights = new Map<SteppedModel, number>()
  let unread: Flight | undefined
  const launch = (before: Flight | undefined): Flight | undefined => {
    const plan = scheduler.plan()
    if (plan.feeds.length === 0) return undefined
    const flight = launchStep(cache, plan, before)
    for (const { count, row } of plan.feeds) row.held += count
    for (const { drawn } of flight.passes) countAhead(drawn, 1)
    return flight
  }
  const commit = (flight: Flight | undefined): void => {
    if (flight !== undefined) onCommitted(commitStep(scheduler, flight))
  }
  const catchUp = (): void => {
    const flight = unread
    unread = undefined
    commit(flight)
  }
  return {
    step: () => {
      const worked = unread !== undefined
      const changed = models.filter((model) => model.version.current() !== weights.get(model))
      if (changed.length > 0 || !scheduler.canGoAhead()) catchUp()
      for (const model of changed) {
        // keys and values of other weights are of no use to these
        scheduler.startOver(model)
        model.prefix?.fill(cache, Int32Array.from(roots.get(model)!.pages))
        weights.set(model, model.version.current())
      }
      const before = unread
      unread = launch(before)
      const launched = unread !== undefined
      commit(before)
      if (!goAhead || !scheduler.canGoAhead()) catchUp()
      return worked || launched
    },
    forgetWeights: () => {
      catchUp()
      weights.clear()
    },
    dispose: () => unread?.passes.forEach(({ ids }) => ids.dispose())
  }
}
