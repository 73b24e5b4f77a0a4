import { describe, expect, it } from "@effect/vitest"
import { type CausalLM, loadCausalLM, saveModel } from "@plumbline/models"
import { wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { loadAdapter } from "./file/load-adapter.ts"
import { merged } from "./merge.ts"

const fixtures = fileURLToPath(new URL("../../../test/fixtures", import.meta.url))

/** What make.py beside the adapters had peft compute. */
interface Expected {
  readonly base: string
  readonly input_ids: ReadonlyArray<number>
  readonly token_logprobs: ReadonlyArray<number>
  readonly loss: number
  readonly gradient_norms: Readonly<Record<string, number>>
  readonly rate: number
  readonly token_logprobs_after_step: ReadonlyArray<number>
}

const adapters = readdirSync(join(fixtures, "adapters")).filter((name) => !name.endsWith(".py"))

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

const opened = (name: string) =>
  Effect.gen(function* () {
    const folder = join(fixtures, "adapters", name)
    const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected
    const base = yield* loadCausalLM(join(fixtures, "families", expected.base), { name, trainable: false })
    const adapted = yield* loadAdapter(base, folder, { trainable: true })
    return { adapted, base, expected, rows: wholeRows(expected.input_ids) }
  })

const logProbs = (model: CausalLM, { input_ids }: Expected) =>
  tf.tidy(() => model.tokenLogProbs(wholeRows(input_ids)).logProbs.dataSync())

describe.for(adapters)("peft's %s", (name) => {
  it.effect("gives peft's log-probs, gradients, and log-probs after a step, and the same merged where it can be", () =>
    Effect.gen(function* () {
      const { adapted, expected, rows } = yield* opened(name)
      const { adapter, model } = adapted
      expect(worst(logProbs(model, expected), expected.token_logprobs)).toBeLessThanOrEqual(1e-5)
      const { grads, value } = tf.variableGrads(
        () => tf.neg(tf.mean(model.tokenLogProbs(rows).logProbs)).asScalar(),
        [...model.variables]
      )
      expect(Math.abs(value.dataSync()[0]! - expected.loss)).toBeLessThanOrEqual(1e-5)
      const trained = [...adapter.tensors].filter(([, tensor]) => tensor instanceof tf.Variable)
      expect(trained.map(([stored]) => stored).toSorted()).toEqual(Object.keys(expected.gradient_norms).toSorted())
      for (const [stored, tensor] of trained) {
        const gradient = grads[(tensor as (typeof model.variables)[number]).name]!
        const norm = Math.hypot(...gradient.dataSync())
        expect(Math.abs(norm - expected.gradient_norms[stored]!), stored).toBeLessThanOrEqual(1e-5)
      }
      for (const variable of model.variables) {
        tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(expected.rate, grads[variable.name]!))))
      }
      const after = logProbs(model, expected)
      expect(worst(after, expected.token_logprobs_after_step)).toBeLessThanOrEqual(1e-5)
      expect(worst(after, expected.token_logprobs)).toBeGreaterThan(1e-3)
      if (adapter.prefix !== undefined) expect(() => merged(adapted)).toThrow("no weights say what they do")
      else expect(worst(logProbs(merged(adapted), expected), after)).toBeLessThanOrEqual(1e-5)
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("is written again with peft's names, values and settings", () =>
    Effect.gen(function* () {
      const { adapted, base, expected } = yield* opened(name)
      const folder = mkdtempSync(join(tmpdir(), "peft-"))
      try {
        yield* saveModel(adapted.model, folder)
        const again = yield* loadAdapter(base, folder, { trainable: false })
        expect(logProbs(again.model, expected)).toEqual(logProbs(adapted.model, expected))
        const config = (of: string) => JSON.parse(readFileSync(join(of, "adapter_config.json"), "utf8"))
        const [written, theirs] = [config(folder), config(join(fixtures, "adapters", name))]
        const { auto_mapping: _, inference_mode: __, target_modules: targets, ...others } = written
        expect(theirs).toMatchObject(others)
        // peft keeps lists of targets as sets, and resolves all-linear
        if (Array.isArray(targets)) expect(targets.toSorted()).toEqual(theirs.target_modules.toSorted())
      } finally {
        rmSync(folder, { recursive: true })
      }
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})
