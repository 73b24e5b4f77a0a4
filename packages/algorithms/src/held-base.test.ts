import { collate } from "@plumbline/data"
import { loadScalarModel, Policy, saveModel, type ScalarModel } from "@plumbline/models"
import { adaptedForUse, adaptedPolicy, type AdapterOptions } from "@plumbline/peft"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect, type Scope } from "effect"
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type HeldBase, policyBase } from "./held-base.ts"
import { criticModel } from "./policy-gradient/critic/critic-folder.ts"
import type { CriticLesson } from "./policy-gradient/critic/critic.ts"
import { modelCritic } from "./policy-gradient/critic/model-critic.ts"
import { adaptedScalar } from "./reward-model/adapted-scalar.ts"
import { openScored } from "./reward-model/open-reward-model.ts"
import { smallModel, unevenRows } from "./testing/small-models.ts"

let folder: string
const at = (name: string) => join(folder, name)
const run = <A, E>(effect: Effect.Effect<A, E, ModelRuntime>) =>
  Effect.runPromise(Effect.provide(effect, ModelRuntime.layerWasm))

const HEAD = { attributes: ["helpful", "short"], pooling: "mean", seed: 2 } as const
const JUDGE = { loraRank: 2, loraTargets: ["q_proj"] }

/** A language model, the same in another folder, and an adapter on it that brings a head. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-held-"))
  await run(
    Effect.scoped(
      Effect.gen(function* () {
        yield* saveModel(smallModel(), at("model"))
        cpSync(at("model"), at("copy"), { recursive: true })
        const below = yield* loadScalarModel(at("model"), { name: "judge", trainable: false, head: HEAD })
        const judge = yield* adaptedScalar(below, JUDGE, { seed: 4, folder: at("model") })
        for (const variable of judge.variables) variable.assign(tf.fill(variable.shape, 0.2))
        yield* saveModel(judge, at("judge"))
      })
    )
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Opened = Effect.Effect<ScalarModel, unknown, ModelRuntime | Scope.Scope>

/** What `open` makes beside a policy with an adapter, what that holds, and what `use` finds. */
const beside = <A>(
  open: (held: HeldBase | undefined) => Opened,
  use: (model: ScalarModel) => Effect.Effect<A, unknown, Scope.Scope>,
  options: AdapterOptions = { loraRank: 2 }
) =>
  run(
    Effect.scoped(
      Effect.gen(function* () {
        const policy = yield* Policy
        const held = policyBase(policy, at("model"))
        const before = tf.memory()
        const model = yield* open(held)
        const { numBytes, numTensors } = tf.memory()
        const base = [...(held?.model.parameters.values() ?? [])]
        const values = base.map((tensor) => tensor.dataSync().slice())
        const found = yield* use(model)
        expect(base.map((tensor) => tensor.dataSync())).toEqual(values)
        return { found, bytes: numBytes - before.numBytes, tensors: numTensors - before.numTensors, model }
      })
    ).pipe(Effect.provide(adaptedPolicy(at("model"), options, 1)))
  )

const FLOAT = 4
const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((size, length) => size * length, 1)
/** Bytes of what is trained, and of the head below the adapter. */
const ownBytes = ({ head, config, variables }: ScalarModel) =>
  FLOAT * (variables.reduce((total, { size }) => total + size, 0) + head.attributes.length * config.width)
/** Bytes of the decoder, which has an output matrix besides. */
const decoderBytes = () => {
  const { config, dispose, parameters } = smallModel()
  const all = [...parameters.values()].reduce((total, { shape }) => total + sizeOf(shape), 0)
  dispose()
  return FLOAT * (all - config.vocabulary * config.width)
}

const lengths = unevenRows.map(({ lossMask }) => lossMask.reduce((sum, counts) => sum + counts, 0))
const lesson: CriticLesson = {
  rows: unevenRows.map((row, r) => ({
    row,
    origin: `row ${r}`,
    oldValues: new Float32Array(lengths[r]!),
    returns: new Float32Array(lengths[r]!).fill(r % 2)
  })),
  steps: [0, 1, 2].map(() => unevenRows.map((_, r) => r))
}

const learning = { learningRate: 1e-2, weightDecay: 0, adamBeta1: 0.9, adamBeta2: 0.98, adamEpsilon: 1e-8 }
const taught = (model: ScalarModel) =>
  Effect.gen(function* () {
    const rest = {
      maxGradNorm: 1,
      valueClip: 0,
      split: { count: 4 },
      layout: "packed",
      padId: 0,
      extraFiles: {}
    } as const
    const critic = yield* modelCritic(model, { ...learning, ...rest })
    const before = yield* critic.values(unevenRows)
    yield* yield* critic.train(lesson)
    const where = yield* critic.save(at("saved"), "step-1")
    const [after, variables] = [yield* critic.values(unevenRows), model.variables.map((one) => one.dataSync().slice())]
    for (const variable of model.variables) variable.assign(tf.zerosLike(variable))
    yield* critic.restore(at("saved"), where)
    expect(model.variables.map((one) => one.dataSync())).toEqual(variables)
    return { before, after }
  })

describe("a critic that is an adapter on the policy's base", () => {
  const critic = (name: string, adapter: AdapterOptions) => (held: HeldBase | undefined) =>
    criticModel(at(name), { adapter, held, seed: 3, padId: 0 })

  it("holds no copy of it, leaves it alone, and is what it is on a copy", async () => {
    const shared = await beside(critic("model", { loraRank: 2 }), taught)
    const apart = await beside(critic("copy", { loraRank: 2 }), taught)
    expect(shared.bytes).toBe(ownBytes(shared.model))
    expect(shared.tensors).toBe(shared.model.variables.length + 1)
    expect(apart.bytes).toBe(shared.bytes + decoderBytes())
    expect(shared.found).toEqual(apart.found)
    expect(shared.found.after).not.toEqual(shared.found.before)
  })

  it("begins with the head of a reward model's adapter", async () => {
    const shared = await beside(critic("model", { adapter: at("judge") }), taught)
    const apart = await beside(critic("copy", { adapter: at("judge") }), taught)
    expect(shared.model.head).toEqual({ attributes: HEAD.attributes, pooling: HEAD.pooling })
    expect(shared.bytes).toBe(ownBytes(shared.model))
    expect(shared.found).toEqual(apart.found)
  })

  it("rides on a base in 4 bits, too", async () => {
    const shared = await beside(critic("model", { loraRank: 2 }), taught, { loraRank: 2, quantised: true })
    expect(shared.bytes).toBe(ownBytes(shared.model))
    expect(shared.found.after).not.toEqual(shared.found.before)
  })

  it("has a model of its own where all of it is trained, and where the policy's weights move", async () => {
    const whole = await beside(critic("model", {}), taught)
    expect(whole.bytes).toBe(decoderBytes() + FLOAT * whole.model.config.width)
    const apart = await beside(critic("model", { loraRank: 2 }), taught, {})
    expect(apart.bytes).toBe(ownBytes(apart.model) + decoderBytes())
  })
})

it("a reward model that is an adapter on the policy's base holds no copy of it, and judges as on one", async () => {
  const rows = collate(unevenRows, { layout: "packed", padId: 0 })
  const judged = (model: ScalarModel) => Effect.sync(() => tf.tidy(() => Array.from(model.rowScores(rows).dataSync())))
  const judge = (name: string) => (held: HeldBase | undefined) =>
    Effect.flatMap(openScored(at(name), at("judge"), held), (base) => adaptedForUse(base, at("judge")))
  const shared = await beside(judge("model"), judged)
  const apart = await beside(judge("copy"), judged)
  expect(apart.bytes).toBe(shared.bytes + decoderBytes())
  expect(shared.found).toEqual(apart.found)
  expect(Math.abs(shared.found[0]!)).toBeGreaterThan(1e-3)
})
