import { it } from "@effect/vitest"
import { type Model, weightsVersion } from "@plumbline/models"
import { ModelRuntime, tf, type Tensor, type Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { adamw, clipScale, namedParameters } from "./optimizer.ts"

const check = (name: string, body: () => void | Promise<void>) =>
  it.effect(name, () =>
    Effect.provide(
      Effect.promise(async () => body()),
      ModelRuntime.layerWasm
    )
  )

/** A "model" of one matrix and one bias, in the order given. */
const model = (order: ReadonlyArray<"matrix" | "bias"> = ["matrix", "bias"]): Model => {
  const make = {
    matrix: () => tf.variable(tf.tensor2d([[1, -2]])),
    bias: () => tf.variable(tf.tensor1d([3, 0.5]))
  }
  const parameters = new Map<string, Tensor>(order.map((name) => [name, make[name]()]))
  const variables = [...parameters.values()] as Array<Variable>
  return { name: "toy", parameters, variables, version: weightsVersion() } as unknown as Model
}

const gradientsFor = ({ parameters }: Model, scale = 1) =>
  Object.fromEntries(
    [...parameters].map(([name, tensor]) => [
      (tensor as Variable).name,
      name === "matrix" ? tf.tensor2d([[0.5 * scale, -0.1]]) : tf.tensor1d([-1, 0.2 * scale])
    ])
  )

const values = ({ parameters }: Model, name: string) => [...parameters.get(name)!.dataSync()]

const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 }

describe("adamw", () => {
  check("moves each parameter by the learning rate at first, and decays matrices alone", () => {
    const toy = model()
    adamw({ policy: toy }, options).apply(gradientsFor(toy), 0.01, 1)
    // p·(1 − 0.01·0.1) − 0.01·sign(g) for the matrix, p − 0.01·sign(g) for the bias
    const expected = { matrix: [1 * 0.999 - 0.01, -2 * 0.999 + 0.01], bias: [3 + 0.01, 0.5 - 0.01] }
    for (const [name, numbers] of Object.entries(expected)) {
      values(toy, name).forEach((value, i) => expect(value).toBeCloseTo(numbers[i]!, 6))
    }
  })

  check("keeps its moments by name: restored into another order of parameters it goes on the same", async () => {
    const [whole, first, second] = [model(), model(), model(["bias", "matrix"])]
    const uninterrupted = adamw({ policy: whole }, options)
    const before = adamw({ policy: first }, options)
    for (const scale of [1, 3]) {
      uninterrupted.apply(gradientsFor(whole, scale), 0.01, 1)
      before.apply(gradientsFor(first, scale), 0.01, 1)
    }
    for (const [name, tensor] of second.parameters) (tensor as Variable).assign(tf.clone(first.parameters.get(name)!))
    const after = adamw({ policy: second }, options)
    const state = before.state()
    await Effect.runPromise(after.restore(before.steps(), (name) => Effect.promise(state.get(name)!.values)))
    expect(second.version.current()).toBe(2)
    uninterrupted.apply(gradientsFor(whole, -2), 0.01, 1)
    after.apply(gradientsFor(second, -2), 0.01, 1)
    for (const name of ["matrix", "bias"]) expect(values(second, name)).toEqual(values(whole, name))
    expect(after.steps()).toBe(3)
    expect([whole, second].map(({ version }) => version.current())).toEqual([3, 3])
  })

  check("leaves a parameter without a gradient alone", () => {
    const toy = model()
    const { [(toy.parameters.get("bias") as Variable).name]: _bias, ...rest } = gradientsFor(toy)
    adamw({ policy: toy }, options).apply(rest, 0.01, 1)
    expect(values(toy, "bias")).toEqual([3, 0.5])
    expect(values(toy, "matrix")[0]).toBeLessThan(1)
  })

  check("names parameters by role", () => {
    expect(namedParameters({ policy: model(), critic: model() }).map(({ name }) => name)).toEqual([
      "policy/matrix",
      "policy/bias",
      "critic/matrix",
      "critic/bias"
    ])
  })
})

describe("clipScale", () => {
  it("brings a longer gradient to the limit, as torch's clip_grad_norm_, and leaves a shorter one", () => {
    expect(clipScale(4, 1)).toBeCloseTo(0.25, 6)
    expect(clipScale(0.5, 1)).toBe(1)
    expect(clipScale(0, 1)).toBe(1)
  })

  it("is off at 0", () => expect(clipScale(1e6, 0)).toBe(1))
})
