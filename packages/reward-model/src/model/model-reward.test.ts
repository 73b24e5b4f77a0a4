import { assert, describe, it } from "@effect/vitest"
import { byteTokenizer } from "@plumbline/data"
import { createScalarModel, type ScalarModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect, Layer } from "effect"
import type { RewardGroup } from "../reward-request.ts"
import { RewardModel } from "../reward-model.ts"
import { Reward } from "../reward.ts"
import { modelReward } from "./model-reward.ts"
import { scoreRows } from "./score-rows.ts"

const group = (
  row: string,
  prompt: ReadonlyArray<number>,
  ...responses: ReadonlyArray<ReadonlyArray<number>>
): RewardGroup => ({
  row,
  prompt: { ids: Int32Array.from(prompt), text: "" },
  responses: responses.map((ids) => ({ ids: Int32Array.from(ids), text: "" }))
})

const withModel = (body: (model: ScalarModel) => Effect.Effect<void, unknown>, attributes = ["good", "long"]) =>
  Effect.suspend(() => {
    const model = createScalarModel(tinyTable, { attributes, pooling: "last" }, 4)
    return Effect.ensuring(body(model), Effect.sync(model.dispose))
  }).pipe(Effect.provide(ModelRuntime.layerWasm))

const alone = (model: ScalarModel, ids: ReadonlyArray<number>) =>
  tf.tidy(() => [
    ...model
      .rowScores({
        tokens: Int32Array.from(ids),
        positions: Int32Array.from(ids.keys()),
        starts: Int32Array.of(0),
        lengths: Int32Array.of(ids.length)
      })
      .dataSync()
  ])

describe("modelReward", () => {
  const groups = [group("a:1", [3, 4], [5, 2], [6, 7, 8, 2]), group("a:2", [9], [10]), group("a:3", [1])]
  const rows = [
    [3, 4, 5, 2],
    [3, 4, 6, 7, 8, 2],
    [9, 10]
  ]

  it.effect("weighs the head's attributes, for prompt and response, whatever is computed beside them", () =>
    withModel((model) =>
      Effect.gen(function* () {
        for (const batchTokens of [1, 7, 1000]) {
          const reward = modelReward(model, { attributeWeights: { good: 1, long: -0.4 }, batchTokens })
          const judged = yield* reward.judge(groups)
          assert.deepStrictEqual(
            judged.map(({ responses }) => responses.length),
            [2, 1, 0]
          )
          judged
            .flatMap(({ responses }) => responses)
            .forEach(({ parts, reward: total }, i) => {
              const [good, long] = alone(model, rows[i]!)
              assert.closeTo(total!, good! - 0.4 * long!, 1e-5)
              assert.deepStrictEqual(
                parts.map(({ name, weight }) => [name, weight]),
                [
                  ["good", 1],
                  ["long", -0.4]
                ]
              )
              assert.closeTo(parts[1]!.raw!, long!, 1e-5)
            })
        }
      })
    )
  )

  it.effect("leaves no tensor behind, interrupted or not", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const ids = rows.map((row) => Int32Array.from(row))
        yield* scoreRows(model, ids, { batchTokens: 5 })
        const before = tf.memory().numTensors
        yield* scoreRows(model, ids, { batchTokens: 5 })
        yield* Effect.timeoutOption(scoreRows(model, ids, { batchTokens: 5 }), 0)
        assert.strictEqual(tf.memory().numTensors, before)
      })
    )
  )

  it.effect("names the row that it cannot read or whose score is no number", () =>
    withModel(
      (model) =>
        Effect.gen(function* () {
          const { judge } = modelReward(model)
          const message = (one: RewardGroup) =>
            Effect.map(Effect.flip(judge([groups[0]!, one])), (error) => error.message)
          assert.strictEqual(
            yield* message(group("b:7", [40], [1])),
            'b:7: reward "reward" failed: the row token id 40 is outside the reward model\'s vocabulary of 32'
          )
          assert.include(
            yield* message(
              group(
                "b:8",
                Array.from({ length: 60 }, () => 1),
                [1, 2, 3, 4, 5]
              )
            ),
            "b:8"
          )
          const head = model.parameters.get("score.weight")! as tf.Variable
          head.assign(tf.tensor2d(new Float32Array(16).fill(Infinity), [1, 16]))
          const failure = yield* Effect.flip(judge([groups[0]!]))
          assert.strictEqual(failure._tag, "RewardNotFinite")
          assert.match(failure.message, /^a:1: reward "reward" of response 0/)
        }),
      ["reward"]
    )
  )

  it.effect("tokenizes texts again where the reward model has a tokenizer of its own", () =>
    withModel(
      (model) =>
        Effect.gen(function* () {
          const tokenizer = byteTokenizer({ specials: ["<e>"], eos: "<e>" })
          const small = {
            ...tokenizer,
            encode: (text: string) => Int32Array.from(text, (c) => c.charCodeAt(0) - 90),
            eosId: 2
          }
          const texts: RewardGroup = {
            row: "c:1",
            prompt: { ids: Int32Array.of(31), text: "cd" },
            responses: [{ ids: Int32Array.of(30), text: "ef" }]
          }
          const [judged] = yield* modelReward(model, { tokenizer: small }).judge([texts])
          assert.closeTo(judged!.responses[0]!.reward!, alone(model, [9, 10, 11, 12, 2])[0]!, 1e-5)
        }),
      ["reward"]
    )
  )

  it.effect("as a layer refuses weights that do not fit", () =>
    Effect.gen(function* () {
      const heads = RewardModel.layerNew(tinyTable, { attributes: ["a", "b"], pooling: "last" }, 1)
      const built = (options: Parameters<typeof Reward.layerModel>[0]) =>
        Effect.flip(Effect.provide(Reward, Layer.provide(Reward.layerModel(options), heads)))
      assert.strictEqual((yield* built({}))._tag, "AttributesUnknown")
      assert.include((yield* built({ attributeWeights: { c: 1 } })).message, "not c")
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})
