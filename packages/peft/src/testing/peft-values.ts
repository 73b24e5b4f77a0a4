import type { CausalLM } from "@plumbline/models"
import { wholeRows } from "@plumbline/models/testing"
import { type NamedTensorMap, tf } from "@plumbline/runtime"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"
import type { Adapted } from "../adapt.ts"
import type { Adapter } from "../adapter.ts"

export const fixtures = fileURLToPath(new URL("../../../../test/fixtures", import.meta.url))

/** What make.py beside the adapters had peft compute. */
export interface PeftValues {
  readonly base: string
  readonly input_ids: ReadonlyArray<number>
  readonly token_logprobs: ReadonlyArray<number>
  readonly loss: number
  readonly gradient_norms: Readonly<Record<string, number>>
  readonly rate: number
  readonly token_logprobs_after_step: ReadonlyArray<number>
}

/** The largest difference; NaN where there are not as many values. */
export const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

export const logProbs = (model: CausalLM, ids: ReadonlyArray<number>) =>
  tf.tidy(() => model.tokenLogProbs(wholeRows(ids)).logProbs.dataSync())

/** One step of plain gradient descent on the mean; @returns the loss before it, and gradients by variable */
export const descend = (model: CausalLM, ids: ReadonlyArray<number>, rate: number) => {
  const { grads, value } = tf.variableGrads(
    () => tf.neg(tf.mean(model.tokenLogProbs(wholeRows(ids)).logProbs)).asScalar(),
    [...model.variables]
  )
  for (const variable of model.variables) {
    tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(rate, grads[variable.name]!))))
  }
  model.version.advance()
  const [loss] = value.dataSync()
  value.dispose()
  return { loss: loss!, grads }
}

/** Such a step, which has peft's loss and gradients. */
export const expectStep = ({ adapter, model }: Adapted<CausalLM>, expected: PeftValues): void => {
  const { grads, loss } = descend(model, expected.input_ids, expected.rate)
  expect(Math.abs(loss - expected.loss)).toBeLessThanOrEqual(1e-5)
  const norms = gradientNorms(adapter, grads)
  expect([...norms.keys()].toSorted()).toEqual(Object.keys(expected.gradient_norms).toSorted())
  for (const [stored, norm] of norms) {
    expect(Math.abs(norm - expected.gradient_norms[stored]!), stored).toBeLessThanOrEqual(1e-5)
  }
}

/** Of what an adapter trains, by its names. */
const gradientNorms = (adapter: Adapter, grads: NamedTensorMap): ReadonlyMap<string, number> =>
  new Map(
    [...adapter.tensors].flatMap(([name, tensor]) =>
      tensor instanceof tf.Variable ? [[name, Math.hypot(...grads[tensor.name]!.dataSync())] as const] : []
    )
  )
