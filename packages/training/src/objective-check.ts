import { tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { ObjectiveInvalid } from "./errors.ts"
import type { LossSums, UnitSum } from "./objective.ts"

/**
 * What a loss gave, held against `LossSums`: Node strips the types of a recipe without looking at them.
 *
 * @param learns whether the micro-batch has units of data; one that only reports has no terms
 */
export const checkedSums = (given: LossSums, learns: boolean): LossSums => {
  const { metrics, terms } = (given ?? {}) as Partial<LossSums>
  if (given instanceof Promise) throw invalid("its loss gives a Promise, and the gradient's tape is synchronous")
  if (!Array.isArray(terms) || (learns && terms.length === 0))
    throw invalid("its loss gives no terms; write { terms: [{ unit, values }], metrics: {} }")
  if (typeof metrics !== "object" || metrics === null) throw invalid("its loss gives no metrics; {} where it has none")
  for (const term of terms as ReadonlyArray<UnitSum>) checkSum("a term", term)
  for (const [name, parts] of Object.entries(metrics)) {
    for (const part of [parts].flat()) checkSum(`metric "${name}"`, part as UnitSum)
  }
  return given
}

const checkSum = (what: string, { unit, values }: UnitSum) => {
  if (!(values instanceof tf.Tensor)) throw invalid(`the values of ${what} are no tensor`)
  if (values.rank !== 1) {
    throw invalid(
      `the values of ${what} have the shape [${values.shape.join(", ")}], not [U], one number for each ${unit}`
    )
  }
}

/** An objective that breaks its contract. */
export const invalid = (reason: string) => new ObjectiveInvalid({ reason })

/** Runs synchronous code of an objective; what it does against the contract is typed. */
export const objectiveStep = <A>(body: () => A): Effect.Effect<A, ObjectiveInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (cause) {
      if (cause instanceof ObjectiveInvalid) return Effect.fail(cause)
      throw cause
    }
  })
