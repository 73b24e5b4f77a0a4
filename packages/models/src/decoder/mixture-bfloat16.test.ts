import { describe, expect, it } from "@effect/vitest"
import { routesOnDevice, tf, type Tensor2D } from "@plumbline/runtime"
import { bfloat16Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { vi } from "vitest"
import { gatedMlp } from "./mlp.ts"
import { mixtureOfExperts } from "./mixture.ts"
import { parameterWeights } from "./weights.ts"

const WIDTH = 16

const waves = (shape: ReadonlyArray<number>, phase: number) =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(7.3 * i + phase)),
    [...shape]
  )

const mixture = { expert: gatedMlp("silu"), experts: 8, perToken: 5, renormalised: true }

const made = () => {
  const mlp = mixtureOfExperts(mixture)
  const specs = mlp.parameters("mlp", { width: WIDTH, mlpWidth: 24, bias: false })
  return { mlp, parameters: new Map(specs.map(({ name, shape }, i) => [name, waves(shape, i)] as const)) }
}

describe.for(bfloat16Backends)("a mixture in bfloat16, on $name", ({ isThere, layer }) => {
  it.effect.skipIf(!isThere)(
    "adds up the experts of a token alike whether it goes through its own or through all",
    () =>
      Effect.provide(
        Effect.sync(() => {
          const { mlp, parameters } = made()
          const weights = parameterWeights(parameters)
          // a token at a time: products of other numbers of rows may round otherwise
          for (let token = 0; token < 40; token++) {
            const x = waves([1, WIDTH], 0.3 * token) as Tensor2D
            const own = mlp.apply(weights, "mlp", x).dataSync()
            expect(mlp.apply(weights, "mlp", x, { isRecorded: true }).dataSync()).toEqual(own)
          }
        }),
        layer
      )
  )

  it.effect.skipIf(!isThere)("reads which experts are chosen only where the device does not know the way", () =>
    Effect.provide(
      Effect.sync(() => {
        const { mlp, parameters } = made()
        const variables = new Map([...parameters].map(([name, value]) => [name, tf.variable(value)] as const))
        const x = waves([300, WIDTH], 0.7) as Tensor2D
        const { addon } = tf.backend() as unknown as { readonly addon: { readonly toHost: () => unknown } }
        const reads = vi.spyOn(addon, "toHost")
        const { grads } = tf.variableGrads(() =>
          tf.sum(tf.square(mlp.apply(parameterWeights(variables), "mlp", x))).asScalar()
        )
        expect(reads.mock.calls.length).toBe(routesOnDevice() ? 0 : 1)
        vi.restoreAllMocks()
        for (const gradient of Object.values(grads)) expect(tf.max(tf.abs(gradient)).dataSync()[0]).toBeGreaterThan(0)
      }),
      layer
    )
  )
})
