import { it } from "@effect/vitest"
import { type CausalLM, ReferencePolicy } from "@plumbline/models"
import { ModelRuntime, tf } from "@plumbline/runtime"
import type { Algorithm, MicroBatch } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { describe, expect } from "vitest"
import { smallModel } from "../testing/small-models.ts"
import { movingReference } from "./moving-reference.ts"

const first = (model: CausalLM): number => [...model.parameters.values()][0]!.dataSync()[0]!

const still = { name: "dpo", config: { beta: 0.1 } } as Algorithm<{ readonly policy: CausalLM }, MicroBatch>
const reference = Layer.effect(
  ReferencePolicy,
  Effect.map(ModelRuntime, () => smallModel(11))
)

describe("TR-DPO", () => {
  it.effect("moves the reference by α toward the policy after every k-th step, and carries it in checkpoints", () =>
    Effect.gen(function* () {
      const model = yield* ReferencePolicy
      const policy = smallModel(5)
      const moving = movingReference(still, { every: 2, mixup: 0.6 })
      expect(moving).toMatchObject({ name: "tr-dpo", config: { algorithm: { beta: 0.1 }, every: 2, mixup: 0.6 } })
      expect((yield* moving.carried!)["reference"]).toBe(model)
      const [from, to] = [first(model), first(policy)]
      yield* moving.afterStep!(1, { policy }, { observed: [] })
      expect(first(model)).toBe(from)
      yield* moving.afterStep!(2, { policy }, { observed: [] })
      expect(first(model)).toBeCloseTo(0.6 * to + 0.4 * from, 6)
      tf.dispose([...policy.parameters.values(), ...model.parameters.values()])
    }).pipe(Effect.provide(reference), Effect.provide(ModelRuntime.layerWasm))
  )
})
