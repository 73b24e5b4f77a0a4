import { it } from "@effect/vitest"
import { type Model, weightsVersion } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { bfloat16Backends, float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import type { StepNumbers } from "./accumulate.ts"
import { applyStep } from "./apply-step.ts"
import { adamw } from "./optimizer.ts"

const runtimes = [...float32Backends, ...bfloat16Backends.map((each) => ({ ...each, name: `${each.name}, bfloat16` }))]

const model = (): Model => {
  const matrix = tf.variable(tf.tensor2d([[1, -2]]))
  const parameters = new Map([["matrix", matrix]])
  return { name: "toy", parameters, variables: [matrix], version: weightsVersion() } as unknown as Model
}

const numbers = (metrics: Readonly<Record<string, number>>): StepNumbers => ({
  metrics,
  brokenOrigins: [],
  memory: {},
  observed: []
})

const begunStep = ({ variables }: Model, read: () => StepNumbers) => ({
  gradients: { [variables[0]!.name]: tf.tensor2d([[0.5, -0.1]]) },
  read
})

const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }

const setting = () => {
  const toy = model()
  const optimizer = adamw({ policy: toy }, options)
  const before = tf.memory().numTensors
  return {
    toy,
    optimizer,
    left: () => tf.memory().numTensors - before,
    weights: () => [...toy.variables[0]!.dataSync()]
  }
}

describe.each(runtimes)("applyStep on $name", ({ isThere, layer }) => {
  const check = (name: string, body: () => void) =>
    it.effect.skipIf(!isThere)(name, () => Effect.provide(Effect.sync(body), layer))

  check("clips by the norm that was read, and frees the gradients", () => {
    const { left, optimizer, toy, weights } = setting()
    const found = applyStep(
      optimizer,
      begunStep(toy, () => numbers({ loss: 1, grad_norm: 2 })),
      0.01,
      0.5
    )
    expect(found).toMatchObject({ broken: undefined, metrics: { loss: 1, grad_norm: 2 } })
    // the first step goes by the sign
    expect(weights()[0]).toBeCloseTo(0.99, 6)
    expect([optimizer.steps(), toy.version.current(), left()]).toEqual([1, 1, 0])
  })

  check("moves nothing where a metric is not finite, and says which", () => {
    for (const metrics of [
      { loss: NaN, grad_norm: 1 },
      { loss: 1, grad_norm: Infinity }
    ]) {
      const { left, optimizer, toy, weights } = setting()
      const { broken } = applyStep(
        optimizer,
        begunStep(toy, () => numbers(metrics)),
        0.01,
        1
      )
      expect(broken).toEqual(Object.entries(metrics).find(([, value]) => !Number.isFinite(value)))
      expect(weights()).toEqual([1, -2])
      expect([optimizer.steps(), toy.version.current(), left()]).toEqual([0, 0, 0])
    }
  })

  check("moves nothing where reading fails, and frees the gradients", () => {
    const { left, optimizer, toy, weights } = setting()
    const fail = (): never => {
      throw new Error("no such unit")
    }
    expect(() => applyStep(optimizer, begunStep(toy, fail), 0.01, 1)).toThrow("no such unit")
    expect(weights()).toEqual([1, -2])
    expect([optimizer.steps(), toy.version.current(), left()]).toEqual([0, 0, 0])
  })

  check("reads once where there is nothing to learn from, and moves nothing", () => {
    const { optimizer, weights } = setting()
    let reads = 0
    const read = () => {
      reads += 1
      return numbers({ reward: 3 })
    }
    expect(applyStep(optimizer, { gradients: {}, read }, 0.01, 1).metrics).toEqual({ reward: 3 })
    expect([reads, optimizer.steps(), ...weights()]).toEqual([1, 0, 1, -2])
  })
})
