import { ModelRuntime } from "@plumbline/runtime"
import { Examination, type Examiner, type Finding, type FirstStep } from "@plumbline/training"
import { Deferred, Effect, Schema } from "effect"

/** A recipe came to its end, and nothing was trained. */
export class NothingTrained extends Schema.TaggedError<NothingTrained>()("NothingTrained", {}) {
  override get message() {
    return "it ends without training a model: there is no first step to look at"
  }
}

/** What was found of a run, up to where it failed or had made its first step. */
export interface Examined<E> {
  readonly findings: ReadonlyArray<Finding>
  readonly outcome: { readonly step: FirstStep } | { readonly failure: E | NothingTrained }
}

/**
 * Lets a run go as far as its first step and ends it there. Nothing of it stays but what was told.
 *
 * @param how global batches are split, instead of as the run's options say, and whether steps are timed
 */
export const examined = <A, E, R>(
  run: Effect.Effect<A, E, R>,
  how: Pick<Examiner, "split" | "timed"> = {}
): Effect.Effect<Examined<E>, never, R | ModelRuntime> =>
  Effect.gen(function* () {
    const { precision } = yield* ModelRuntime
    const findings: Array<Finding> = []
    const first = yield* Deferred.make<FirstStep>()
    const examiner: Examiner = {
      ...how,
      precision,
      tell: (finding) => Effect.sync(() => void findings.push(finding)),
      seen: (step) => Effect.andThen(Deferred.succeed(first, step), Effect.never)
    }
    const watched = run.pipe(
      Effect.provideService(Examination, examiner),
      Effect.andThen(Effect.suspend(() => new NothingTrained()))
    )
    const outcome = yield* Effect.raceFirst(watched, Deferred.await(first)).pipe(
      Effect.match({ onSuccess: (step) => ({ step }), onFailure: (failure) => ({ failure }) })
    )
    return { findings, outcome }
  })
