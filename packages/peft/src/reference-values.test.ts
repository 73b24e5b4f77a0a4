import { describe, expect, it } from "@effect/vitest"
import { loadCausalLM, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadAdapter } from "./file/load-adapter.ts"
import { merged } from "./merge.ts"
import { expectStep, fixtures, logProbs, type PeftValues, worst } from "./testing/peft-values.ts"

const adapters = readdirSync(join(fixtures, "adapters")).filter((name) => !name.endsWith(".py"))

const opened = (name: string) =>
  Effect.gen(function* () {
    const folder = join(fixtures, "adapters", name)
    const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as PeftValues
    const base = yield* loadCausalLM(join(fixtures, "families", expected.base), { name, trainable: false })
    const adapted = yield* loadAdapter(base, folder, { trainable: true })
    return { adapted, base, expected, ids: expected.input_ids }
  })

describe.for(adapters)("peft's %s", (name) => {
  it.effect("gives peft's log-probs, gradients, and log-probs after a step, and the same merged where it can be", () =>
    Effect.gen(function* () {
      const { adapted, expected, ids } = yield* opened(name)
      const { adapter, model } = adapted
      expect(worst(logProbs(model, ids), expected.token_logprobs)).toBeLessThanOrEqual(1e-5)
      expectStep(adapted, expected)
      const after = logProbs(model, ids)
      expect(worst(after, expected.token_logprobs_after_step)).toBeLessThanOrEqual(1e-5)
      expect(worst(after, expected.token_logprobs)).toBeGreaterThan(1e-3)
      if (adapter.prefix !== undefined) expect(() => merged(adapted)).toThrow("no weights say what they do")
      else expect(worst(logProbs(merged(adapted), ids), after)).toBeLessThanOrEqual(1e-5)
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("is written again with peft's names, values and settings", () =>
    Effect.gen(function* () {
      const { adapted, base, ids } = yield* opened(name)
      const folder = mkdtempSync(join(tmpdir(), "peft-"))
      try {
        yield* saveModel(adapted.model, folder)
        const again = yield* loadAdapter(base, folder, { trainable: false })
        expect(logProbs(again.model, ids)).toEqual(logProbs(adapted.model, ids))
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
