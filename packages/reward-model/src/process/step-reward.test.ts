import { assert, describe, it } from "@effect/vitest"
import { byteTokenizer, tokenizeSteps } from "@plumbline/data"
import { createScalarModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import type { RewardGroup } from "../reward-request.ts"
import { everyStep, lastStep, stepReward, weakestStep } from "./step-reward.ts"

const tokenizer = byteTokenizer({ specials: ["<|im_end|>"] })
const table = { ...tinyTable, vocabulary: tokenizer.vocabSize }

const group = (row: string, ...texts: ReadonlyArray<string>): RewardGroup => ({
  row,
  prompt: { ids: Int32Array.of(1), text: "Q: " },
  responses: texts.map((text) => ({ ids: Int32Array.of(2), text }))
})

describe("stepReward", () => {
  it.effect("reads each step where it ends, whatever is judged beside it", () =>
    Effect.sync(() => {
      const model = createScalarModel(table, { attributes: ["reward"], pooling: "last" }, 3)
      const stepsAlone = (...steps: ReadonlyArray<string>) => {
        const { ids, lossMask } = tokenizeSteps(tokenizer, "Q: ", steps, "\n")
        const rows = {
          tokens: ids,
          positions: Int32Array.from(ids.keys()),
          starts: Int32Array.of(0),
          lengths: Int32Array.of(ids.length)
        }
        const ends = Int32Array.from(ids.keys()).filter((t) => lossMask[t] === 1)
        return tf.tidy(() => [...model.tokenScores(rows, ends).dataSync()].map((score) => 1 / (1 + Math.exp(-score))))
      }
      const [one, two] = [stepsAlone("a=1", "b=2", "c"), stepsAlone("x")]
      const groups = [group("r:1", "a=1\n\nb=2\nc", ""), group("r:2", "x\n")]
      const judge = (reduce: typeof weakestStep, batchTokens: number) =>
        Effect.runSync(stepReward(model, { tokenizer, reduce, batchTokens }).judge(groups)).map(({ responses }) =>
          responses.map(({ reward }) => reward)
        )
      for (const batchTokens of [1, 1000]) {
        const [[three, none], [single]] = judge(weakestStep, batchTokens) as [[number, undefined], [number]]
        assert.closeTo(three, Math.min(...one), 1e-6)
        assert.isUndefined(none)
        assert.closeTo(single, two[0]!, 1e-6)
      }
      assert.closeTo(judge(everyStep, 100)[0]![0]!, one[0]! * one[1]! * one[2]!, 1e-6)
      assert.closeTo(judge(lastStep, 100)[0]![0]!, one[2]!, 1e-6)
      const long = Effect.runSync(Effect.flip(stepReward(model, { tokenizer }).judge([group("r:3", "y".repeat(80))])))
      assert.match(
        long.message,
        /^r:3: reward "steps" failed: the row has 84 tokens, and the reward model's context is 64$/
      )
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})
