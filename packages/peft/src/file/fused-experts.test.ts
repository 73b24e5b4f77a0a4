import { describe, expect, it } from "@effect/vitest"
import { type CausalLM, isOfExpert, loadCausalLM, saveModel } from "@plumbline/models"
import { wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Adapted } from "../adapt.ts"
import { merged } from "../merge.ts"
import { loadAdapter } from "./load-adapter.ts"

const fixtures = fileURLToPath(new URL("../../../../test/fixtures", import.meta.url))

/** What peft 0.21 on transformers 5.18 computed; see make.py. */
interface Expected {
  readonly base: string
  readonly input_ids: ReadonlyArray<number>
  readonly token_logprobs: ReadonlyArray<number>
  readonly gradient_norms: Readonly<Record<string, number>>
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

const logProbs = (model: CausalLM, { input_ids }: Expected) =>
  tf.tidy(() => model.tokenLogProbs(wholeRows(input_ids)).logProbs.dataSync())

const opened = (name: string) =>
  Effect.gen(function* () {
    const folder = join(fixtures, "expert-adapters", name)
    const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected
    const base = yield* loadCausalLM(join(fixtures, "families", expected.base), { name, trainable: false })
    return { base, expected, folder }
  })

const scratch = <A, E, R>(body: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "experts-"))),
    body,
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )

/** Through the adapter and merged the numbers are peft's, which are not the base's. */
const expectPeft = (adapted: Adapted<CausalLM>, expected: Expected) => {
  expect(worst(logProbs(adapted.base, expected), expected.token_logprobs)).toBeGreaterThan(1e-2)
  for (const model of [adapted.model, merged(adapted)]) {
    expect(worst(logProbs(model, expected), expected.token_logprobs)).toBeLessThanOrEqual(1e-5)
  }
}

/** What is written is read again to the bit. */
const expectSaved = (base: CausalLM, model: CausalLM, expected: Expected) =>
  scratch((written) =>
    Effect.gen(function* () {
      yield* saveModel(model, written)
      const again = yield* loadAdapter(base, written, { trainable: false })
      expect(logProbs(again.model, expected)).toEqual(logProbs(model, expected))
    })
  )

describe.for(["mixtral", "qwen3-moe", "qwen3-down", "qwen2-one-layer"])(
  "peft's adapter on the experts of %s",
  (name) => {
    it.effect("gives peft's log-probs, merged too, and is written with a pair of matrices for each linear layer", () =>
      Effect.gen(function* () {
        const { base, expected, folder } = yield* opened(name)
        const before = tf.memory().numTensors
        const adapted = yield* loadAdapter(base, folder, { trainable: true })
        const { adapter, model } = adapted
        expect(tf.memory().numTensors - before).toBe(adapter.tensors.size)
        expectPeft(adapted, expected)
        expect([...adapter.tensors.keys()].some((stored) => /experts\.0\.\w+\.lora_A\.weight$/.test(stored))).toBe(true)
        yield* expectSaved(base, model, expected)
      }).pipe(Effect.provide(ModelRuntime.layerWasm))
    )
  }
)

/** What peft 0.21 puts together again to its log-probs: rank and alpha of the gates are twice those of either layer. */
const written: ReadonlyArray<readonly [string, object]> = [
  ["mixtral", { rank_pattern: { ".*\\.gate_up_proj": 16 }, alpha_pattern: { ".*\\.gate_up_proj": 24 } }],
  [
    "qwen3-moe",
    {
      rank_pattern: { ".*\\.gate_up_proj": 8, "mlp.experts.down_proj": 2 },
      alpha_pattern: { ".*\\.gate_up_proj": 12 }
    }
  ],
  ["qwen3-down", { rank_pattern: {}, alpha_pattern: {} }]
]

it.effect.each(written)("%s is written with targets of which peft makes the same", ([name, expectedFields]) =>
  Effect.gen(function* () {
    const { base, expected, folder } = yield* opened(name)
    const fieldsIn = (of: string): Record<string, unknown> =>
      JSON.parse(readFileSync(join(of, "adapter_config.json"), "utf8"))
    yield* scratch((first) =>
      scratch((second) =>
        Effect.gen(function* () {
          const { model } = yield* loadAdapter(base, folder, { trainable: true })
          yield* saveModel(model, first)
          const { target_modules, target_parameters } = fieldsIn(folder)
          expect(fieldsIn(first)).toMatchObject({ target_modules, target_parameters, ...expectedFields })
          const again = yield* loadAdapter(base, first, { trainable: true })
          yield* saveModel(again.model, second)
          expect(fieldsIn(second)).toEqual(fieldsIn(first))
          expect(logProbs(again.model, expected)).toEqual(logProbs(model, expected))
        })
      )
    )
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

it.effect(
  "peft's adapter on all linear layers of a mixture leaves the experts alone, which are none in transformers 5",
  () =>
    Effect.gen(function* () {
      const { base, expected, folder } = yield* opened("qwen2-moe")
      const adapted = yield* loadAdapter(base, folder, { trainable: true })
      const { adapter } = adapted
      const onMlps = [...adapter.layers.keys()].filter((name) => name.includes(".mlp."))
      // the shared expert and its gate in layers 0 and 2, the MLP in layer 1
      expect(onMlps).toHaveLength(4 + 3 + 4)
      expect(onMlps.filter(isOfExpert)).toEqual([])
      expectPeft(adapted, expected)
      yield* expectSaved(base, adapted.model, expected)
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

it.effect("a target that is no part of a mixture is refused", () =>
  Effect.gen(function* () {
    const { base, folder } = yield* opened("qwen3-down")
    yield* scratch((copy) =>
      Effect.gen(function* () {
        cpSync(folder, copy, { recursive: true })
        const file = join(copy, "adapter_config.json")
        const fields = JSON.parse(readFileSync(file, "utf8")) as object
        writeFileSync(file, JSON.stringify({ ...fields, target_parameters: ["self_attn.q_proj.weight"] }))
        const error = yield* Effect.flip(loadAdapter(base, copy, { trainable: false }))
        expect(error.message).toContain('target_parameters ["self_attn.q_proj.weight"] is not supported')
      })
    )
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)
