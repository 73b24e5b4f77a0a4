import { describe, expect, it } from "@effect/vitest"
import { type Tensor, tf } from "@plumbline/runtime"
import { float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { loadCausalLM } from "./checkpoint/load.ts"
import type { CausalLM } from "./model.ts"
import { greedyContinuation, wholeRows } from "./testing/index.ts"

/** What transformers computed for the checkpoint in the same folder; how is said in the folder's README or make.py. */
interface Expected {
  readonly input_ids: ReadonlyArray<number>
  readonly token_logprobs: ReadonlyArray<number>
  readonly last_logits?: ReadonlyArray<number>
  readonly last_logits_first_64?: ReadonlyArray<number>
  readonly greedy: { readonly prompt: ReadonlyArray<number>; readonly continuation: ReadonlyArray<number> }
  readonly cross_entropy: number
  readonly grad_norms: Readonly<Record<string, number>>
}

const fromRoot = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const golden = fromRoot("../shared/golden/models")
const fixtures = fromRoot("test/fixtures/families")

const expectClose = (found: ArrayLike<number>, expected: ReadonlyArray<number>, tolerance: number) => {
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0)
  expect(worst).toBeLessThanOrEqual(tolerance)
}

const meanLoss = (model: CausalLM, ids: ReadonlyArray<number>) =>
  tf.neg(tf.mean(model.tokenLogProbs(wholeRows(ids)).logProbs)) as Tensor as ReturnType<typeof tf.scalar>

const norm = (gradient: Tensor) => tf.tidy(() => tf.norm(gradient).dataSync()[0]!)

const gradientNorms = (model: CausalLM, ids: ReadonlyArray<number>) => {
  const { grads, value } = tf.variableGrads(() => meanLoss(model, ids), [...model.variables])
  const names = new Map([...model.parameters].map(([name, variable]) => [(variable as tf.Variable).name, name]))
  const norms = Object.entries(grads).map(([name, gradient]) => [names.get(name)!, norm(gradient)] as const)
  const loss = value.dataSync()[0]!
  tf.dispose([value, ...Object.values(grads)])
  return { loss, norms: withFusedExperts(norms) }
}

/** transformers holds the experts of a layer in two tensors, whose norms those of the parts add up to, and calls it `mlp`. */
const withFusedExperts = (norms: ReadonlyArray<readonly [string, number]>): Record<string, number> => {
  const squares: Record<string, number> = {}
  for (const [name, value] of norms) {
    const fused = name
      .replace("block_sparse_moe", "mlp")
      .replace(/experts\.\d+\.(w1|w3|gate_proj|up_proj)\.weight$/, "experts.gate_up_proj")
      .replace(/experts\.\d+\.(w2|down_proj)\.weight$/, "experts.down_proj")
    squares[fused] = (squares[fused] ?? 0) + value ** 2
  }
  return Object.fromEntries(Object.entries(squares).map(([name, square]) => [name, Math.sqrt(square)]))
}

const checkFolder = (folder: string) => {
  for (const { isThere, layer, name } of float32Backends) {
    describe.skipIf(!isThere)(`on ${name}`, () => checkFolderOn(layer, folder))
  }
}

const checkFolderOn = (layer: (typeof float32Backends)[number]["layer"], folder: string) => {
  const withModel = (body: (model: CausalLM, expected: Expected) => void) =>
    Effect.gen(function* () {
      const before = tf.memory().numTensors
      const model = yield* loadCausalLM(folder, { trainable: true, name: "checked" })
      body(model, JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")))
      model.dispose()
      expect(tf.memory().numTensors).toBe(before)
    }).pipe(Effect.provide(layer))

  it.effect("token log-probs within 1e-4 nats, last logits within 1e-4", () =>
    withModel((model, { input_ids: ids, token_logprobs, last_logits, last_logits_first_64 }) => {
      const rows = wholeRows(ids)
      const scored = model.tokenLogProbs(rows)
      expect(scored.logProbs.shape).toEqual([token_logprobs.length])
      expectClose(scored.logProbs.dataSync(), token_logprobs, 1e-4)
      const logits = model.logits(rows, Int32Array.of(ids.length - 1))
      expectClose(logits.dataSync(), last_logits ?? last_logits_first_64!, 1e-4)
      tf.dispose([scored.logProbs, scored.entropy, scored.correct, logits])
    })
  )

  it.effect("cross-entropy and every gradient norm within 1e-3 relative", () =>
    withModel((model, { cross_entropy, grad_norms, input_ids }) => {
      const { loss, norms } = gradientNorms(model, input_ids)
      expect(Math.abs(loss - cross_entropy)).toBeLessThanOrEqual(1e-4)
      expect(Object.keys(norms).toSorted()).toEqual(Object.keys(grad_norms).toSorted())
      for (const [name, expected] of Object.entries(grad_norms)) {
        // key biases have no gradient: they move all scores of a query alike
        expect(Math.abs(norms[name]! - expected), name).toBeLessThanOrEqual(1e-3 * expected + 1e-6)
      }
    })
  )

  it.effect("greedy continuation equal, through the cache", () =>
    withModel((model, { greedy: { continuation, prompt } }) =>
      expect(greedyContinuation(model, prompt, continuation.length)).toEqual(continuation)
    )
  )
}

describe.for(["llama", "llama-spm", "mixtral", "nemotron"])("golden %s", (name) => {
  describe.skipIf(!existsSync(`${golden}/${name}`))("equals transformers 5.17", () => checkFolder(`${golden}/${name}`))
})

describe.for([
  "llama3-tied",
  "llama-biased",
  "llama-old-config",
  "mistral-window",
  "mistral-full",
  "qwen2",
  "qwen2-old-config",
  "qwen3",
  "nemotron-old-config",
  "mixtral",
  "mixtral-fused",
  "qwen2-moe",
  "qwen3-moe",
  "qwen3-moe-fused"
])("family %s equals transformers 5.18", (name) => checkFolder(`${fixtures}/${name}`))
