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

const invalid = (reason: string) => new ObjectiveInvalid({ reason })

/** How tfjs begins to say that there is nothing to differentiate by, and what that means here. */
const NO_GRADIENT: ReadonlyArray<readonly [string, string]> = [
  ["Cannot find a connection between any variable", "its loss does not depend on any weight of the trained models"],
  ["variableGrads() expects at least one", "the models that are trained have no weight that may move"]
]

/** Runs synchronous code of an objective; what it does against the contract is typed. */
export const objectiveStep = <A>(body: () => A): Effect.Effect<A, ObjectiveInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (cause) {
      if (cause instanceof ObjectiveInvalid) return Effect.fail(cause)
      const said = cause instanceof Error ? cause.message : ""
      const meant = NO_GRADIENT.find(([beginning]) => said.startsWith(beginning))?.[1]
      if (meant !== undefined) return Effect.fail(invalid(meant))
      throw cause
    }
  })
