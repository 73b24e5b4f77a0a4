import { Generator } from "@plumbline/rollout-generation"
import { Progress } from "@plumbline/training"
import { type Duration, Effect, Option, Stream } from "effect"
import { lessonOf } from "../critic/lesson.ts"
import type { PolicyGradientOptions } from "../policy-gradient.ts"
import { minibatch } from "./minibatch.ts"
import { nothingLearnt } from "./nothing-learnt.ts"
import { computing, prepareRollout } from "./prepare-rollout.ts"
import { rolloutQueue } from "./rollout-queue.ts"
import type { Rollout } from "./rollout.ts"
import type { Work, WorkingRollout } from "./work.ts"
import { writeRollout } from "./write-rollout.ts"

/**
 * The micro-batches of every step from `position` on: rollouts in their order, and `minibatches · innerEpochs` steps on
 * each.
 *
 * @param end the last step of the run
 */
export const rolloutBatches = <E, R>(
  options: PolicyGradientOptions<E, R>,
  bench: Work<E, R>,
  position: number,
  end: number
) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const order = orderOf(options)
      const queue = yield* rolloutQueue({
        staleness: options.staleness ?? 0,
        steps: order.steps,
        end,
        inTurns: (yield* Generator).colocated,
        whole: bench.begin(),
        write: Effect.fnUntraced(function* (asked) {
          const critic = options.critic && (yield* options.critic)
          return yield* writeRollout(options, { ...asked, critic, stream: "rollouts" })
        })
      })
      bench.writing(queue.ahead)
      const batches = Effect.fnUntraced(function* (step: number) {
        const [index, inner] = [Math.floor(step / order.steps), step % order.steps]
        if (step === 0) yield* warmUp(options, bench)
        if (inner > 0) yield* queue.goOn(step)
        else {
          const [waited, rollout] = yield* Effect.timed(queue.take(index))
          yield* begin(options, bench, rollout, { waited, checked: index === Math.ceil(position / order.steps) })
        }
        const klCoefficient = options.kl?.place === "loss" ? bench.klCoefficient() : 0
        return minibatch(bench.rollout(index), { ...(yield* computing), ...order, inner, klCoefficient })
      })
      return Stream.mapEffect(
        Stream.iterate(position, (step) => step + 1),
        batches
      )
    })
  )

const orderOf = <E, R>({ innerEpochs = 1, minibatches = 1, seed }: PolicyGradientOptions<E, R>) => ({
  minibatches,
  seed,
  steps: minibatches * innerEpochs
})

/** Before the first step on a rollout. */
const begin = Effect.fnUntraced(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  bench: Work<E, R>,
  rollout: Rollout,
  { checked, waited }: { readonly checked: boolean; readonly waited: Duration.Duration }
) {
  const order = orderOf(options)
  const klCoefficient = bench.klCoefficient()
  const working = yield* prepareRollout(options, rollout, { klCoefficient, checked, waited })
  bench.take(working)
  yield* tell(rollout, working)
  if (options.critic === undefined) return
  const critic = yield* options.critic
  bench.learning(yield* critic.train(lessonOf(working, order, order.steps)))
})

/** Says it once a run, at the first rollout: later on it is no news that everything is answered alike. */
const tell = Effect.fnUntraced(function* ({ groups, index }: Rollout, { rows }: WorkingRollout) {
  const reason = nothingLearnt(
    rows,
    groups.flatMap(({ responses }) => responses)
  )
  const progress = yield* Effect.serviceOption(Progress)
  if (index > 0 || reason === undefined || Option.isNone(progress)) return
  yield* progress.value.note(`rollout 0 teaches the policy nothing: ${reason}`)
})

/** Rollouts that teach the critic alone, before the first step. */
const warmUp = Effect.fnUntraced(function* <E, R>(options: PolicyGradientOptions<E, R>, bench: Work<E, R>) {
  const { criticWarmup = 0 } = options
  if (options.critic === undefined) return
  const critic = yield* options.critic
  const order = orderOf(options)
  for (let index = 0; index < criticWarmup; index++) {
    const writing = { index, slack: 0, written: Effect.void, critic, stream: "warm-up" }
    const [waited, rollout] = yield* Effect.timed(writeRollout(options, writing))
    const preparing = { klCoefficient: bench.klCoefficient(), checked: false, waited }
    const working = yield* prepareRollout(options, rollout, preparing)
    yield* yield* critic.train(lessonOf(working, order, order.steps))
  }
})
