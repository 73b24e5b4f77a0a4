import { it } from "@effect/vitest"
import { tf, type NamedTensorMap } from "@plumbline/runtime"
import { float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { expect } from "vitest"
import { accumulate } from "../accumulate.ts"
import type { Trainable } from "../algorithm.ts"
import type { MicroBatch, Objective } from "../objective.ts"

export interface ObjectiveCase<M extends Trainable, B extends MicroBatch> {
  readonly objective: Objective<M, B>
  /** Makes the models; the laws dispose of them. */
  readonly models: () => M
  /** The same data in several splits and layouts; the first is one micro-batch. */
  readonly splits: (models: M) => ReadonlyArray<ReadonlyArray<B>>
  /** Gaps are relative to a metric, or to this where it is smaller: the size of the log-probs it is a difference of. */
  readonly scale?: number
}

/**
 * What every objective must satisfy on every backend of float32: the step does not depend on how the global batch is split or laid out, and
 * nothing is left in memory. Data differ in length, so that a dropped or doubled count shows.
 */
export const objectiveLaws = <M extends Trainable, B extends MicroBatch>(name: string, test: ObjectiveCase<M, B>) => {
  const law = (title: string, body: (models: M, splitGap: number) => void) => {
    for (const { isThere, layer, name: backend, splitGap } of float32Backends) {
      it.effect.skipIf(!isThere)(`${name}, on ${backend}: ${title}`, () =>
        Effect.provide(
          Effect.sync(() => withModels(test, (models) => body(models, splitGap))),
          layer
        )
      )
    }
  }

  law("loss, metrics and gradient norm are the same for every split, to 10⁻⁶, on torch 4·10⁻⁶", (models, splitGap) => {
    const [whole, ...others] = test.splits(models).map((split) => stepNumbers(test.objective, models, split))
    expect(others.length).toBeGreaterThan(1)
    for (const other of others) {
      expect(Object.keys(other).toSorted()).toEqual(Object.keys(whole!).toSorted())
      for (const [metric, value] of Object.entries(whole!)) {
        const gap = Math.abs(other[metric]! - value) / Math.max(test.scale ?? 1e-2, Math.abs(value))
        expect(gap, `${metric}: ${other[metric]} for ${value}`).toBeLessThan(splitGap)
      }
    }
  })

  law("every gradient is the same for every split, to 10⁻⁵ of its norm", (models) => {
    const [whole, ...others] = test.splits(models).map((split) => accumulate(test.objective, models, split).gradients)
    for (const other of others) {
      for (const [parameter, gap] of Object.entries(gaps(whole!, other))) expect(gap, parameter).toBeLessThan(1e-5)
    }
    tf.dispose([whole!, ...others] as never)
  })

  law("leaves no tensor behind", (models) => {
    const splits = test.splits(models)
    stepNumbers(test.objective, models, splits[0]!)
    const before = tf.memory().numTensors
    for (const split of splits) stepNumbers(test.objective, models, split)
    expect(tf.memory().numTensors).toBe(before)
  })
}

const withModels = <M extends Trainable, B extends MicroBatch>(
  { models: make }: ObjectiveCase<M, B>,
  body: (models: M) => void
) => {
  const models = make()
  try {
    body(models)
  } finally {
    for (const model of Object.values(models)) model.dispose()
  }
}

const stepNumbers = <M extends Trainable, B extends MicroBatch>(
  objective: Objective<M, B>,
  models: M,
  split: ReadonlyArray<B>
): Readonly<Record<string, number>> => {
  const { gradients, metrics } = accumulate(objective, models, split)
  tf.dispose(gradients)
  return metrics
}

/** ‖a − b‖ / ‖a‖ of each gradient. */
const gaps = (a: NamedTensorMap, b: NamedTensorMap): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(a).map(([name, gradient]) => [
      name,
      tf.tidy(() => tf.div(tf.norm(tf.sub(gradient, b[name]!)), tf.add(tf.norm(gradient), 1e-12)).dataSync()[0]!)
    ])
  )
