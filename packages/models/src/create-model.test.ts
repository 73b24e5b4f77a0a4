import { describe, expect, it } from "@effect/vitest"
import { adamwUpdate, ModelRuntime, type Tensor, tf, type Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { assign, blend, freeze } from "./copy-weights.ts"
import { createModel, decoderConfig } from "./create-model.ts"
import { llama } from "./families/llama.ts"
import { mixtral } from "./families/mixtral.ts"
import { mistral } from "./families/mistral.ts"
import { qwen2 } from "./families/qwen2.ts"
import { activeParameterCount, flopsPerToken, parameterCount } from "./numbers.ts"
import type { CausalLM } from "./model.ts"
import { Policy, ReferencePolicy } from "./policy.ts"
import { tinyModel, tinyTable, wholeRows } from "./testing/index.ts"

const check = (name: string, body: () => void, runtime = ModelRuntime.layerWasm) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), runtime))

const values = (tensor: Tensor) => [...tensor.dataSync()]

describe("createModel", () => {
  check("draws N(0, initializer_range²), ones and zeros", () => {
    const model = createModel(
      { ...tinyTable, family: qwen2, width: 64, mlpWidth: 128, settings: { initializer_range: 0.1 } },
      1
    )
    const up = values(model.parameters.get("model.layers.0.mlp.up_proj.weight")!)
    const mean = up.reduce((sum, x) => sum + x, 0) / up.length
    const deviation = Math.sqrt(up.reduce((sum, x) => sum + (x - mean) ** 2, 0) / up.length)
    // 8192 draws: four standard errors are 4 · 0.1/√8192 = 0.0044 and 4 · 0.1/√16384 = 0.0031
    expect(Math.abs(mean)).toBeLessThan(0.0044)
    expect(Math.abs(deviation - 0.1)).toBeLessThan(0.0031)
    expect(new Set(values(model.parameters.get("model.norm.weight")!))).toEqual(new Set([1]))
    expect(new Set(values(model.parameters.get("model.layers.1.self_attn.k_proj.bias")!))).toEqual(new Set([0]))
    model.dispose()
  })

  const firstWeights = (layers: number, seed = 7) => {
    const model = createModel({ ...tinyTable, layers }, seed)
    const found = values(model.parameters.get("model.layers.0.mlp.down_proj.weight")!)
    model.dispose()
    return found
  }
  const onWasm: Array<ReadonlyArray<number>> = []
  check("depends on the seed and the parameter's name alone", () => {
    onWasm.push(firstWeights(2))
    expect(firstWeights(1)).toEqual(onWasm[0])
    expect(firstWeights(2, 8)).not.toEqual(onWasm[0])
  })
  check("and not on the backend", () => expect(firstWeights(2)).toEqual(onWasm[0]), ModelRuntime.layerCpu)

  check("gives two models of one name variables of their own, and takes them back", () => {
    const before = tf.memory().numTensors
    const [a, b] = [tinyModel(1), tinyModel(1)]
    expect(a.variables).toHaveLength(a.parameters.size)
    expect(new Set([...a.variables, ...b.variables].map(({ name }) => name)).size).toBe(2 * a.variables.length)
    a.dispose()
    b.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })

  check("a frozen model has no variables and takes no gradient", () => {
    const model = tinyModel(1, { trainable: false, name: "reference" })
    expect([model.name, model.variables]).toEqual(["reference", []])
    model.dispose()
  })

  check("reads its end tokens from the settings, those that are tokens", () => {
    for (const [given, read] of [
      [2, [2]],
      [null, []],
      [
        [31, 3],
        [31, 3]
      ],
      [[-1, 32, 3], [3]]
    ]) {
      const model = createModel({ ...tinyTable, vocabulary: 32, settings: { eos_token_id: given } }, 1)
      expect(model.endTokens).toEqual(read)
      model.dispose()
    }
  })

  it("throws for numbers that make no model", () => {
    expect(() => createModel({ ...tinyTable, keyValueHeads: 3 }, 1)).toThrow("3 key heads do not divide 4 query heads")
    expect(() => createModel({ ...tinyTable, width: 0.5 }, 1)).toThrow("hidden_size")
    // transformers opens no Llama of such a width
    expect(() => createModel({ ...tinyTable, width: 18 }, 1)).toThrow("4 heads do not divide a width of 18")
  })
})

describe("a token outside the vocabulary", () => {
  check("is refused", () => {
    const model = tinyModel(1)
    expect(() => model.hiddenStates(wholeRows([3, 32]))).toThrow("32")
    model.dispose()
  })
})

/** The fused optimizer writes into the variables' own memory. */
const updateInPlace = (model: CausalLM) => {
  for (const parameter of model.variables) {
    const [gradient, firstMoment, secondMoment] = [1, 0, 0].map((value) => tf.variable(tf.fill(parameter.shape, value)))
    const item = { parameter, gradient: gradient!, firstMoment: firstMoment!, secondMoment: secondMoment! }
    const step = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, step: 1, gradientScale: 1 }
    adamwUpdate([{ ...item, weightDecay: 0.1 }], step)
  }
}

describe("freeze", () => {
  check("keeps the weights of its moment, whatever the model does", () => {
    const model = tinyModel(1)
    const rows = wholeRows([3, 9, 4])
    const before = values(model.logits(rows, Int32Array.of(2)))
    const frozen = freeze(model)
    updateInPlace(model)
    expect(values(frozen.logits(rows, Int32Array.of(2)))).toEqual(before)
    expect(values(model.logits(rows, Int32Array.of(2)))).not.toEqual(before)
    model.dispose()
    expect(values(frozen.logits(rows, Int32Array.of(2)))).toEqual(before)
    frozen.dispose()
  })
})

describe("assign", () => {
  check("sets every weight and leaves the tensors to the caller", () => {
    const [model, other] = [tinyModel(1), tinyModel(2)]
    const before = tf.memory().numTensors
    assign(model, other.parameters)
    expect(tf.memory().numTensors).toBe(before)
    const name = "model.layers.1.mlp.gate_proj.weight"
    const expected = values(other.parameters.get(name)!)
    tf.tidy(() => (other.parameters.get(name) as Variable).assign(tf.zeros([24, 16])))
    other.dispose()
    expect(values(model.parameters.get(name)!)).toEqual(expected)
    model.dispose()
  })

  check("refuses a frozen model, a missing and an unknown parameter", () => {
    const [model, frozen] = [tinyModel(1), tinyModel(1, { trainable: false, name: "frozen" })]
    expect(() => assign(frozen, model.parameters)).toThrow("model frozen is not trainable")
    expect(() => assign(model, new Map())).toThrow("no value for parameter model.embed_tokens.weight")
    expect(() => assign(model, new Map([...model.parameters, ["x", tf.scalar(0)]]))).toThrow("has no variable x")
    model.dispose()
    frozen.dispose()
  })
})

describe("blend", () => {
  check("moves every weight by its share, in a new version, and leaves the source alone", () => {
    const [target, source] = [tinyModel(1), tinyModel(2)]
    const each = (model: CausalLM) => [...model.parameters.values()].flatMap(values)
    const [before, toward, version] = [each(target), each(source), target.version.current()]
    blend(target, source, 0.25)
    each(target).forEach((value, i) => expect(value).toBeCloseTo(0.25 * toward[i]! + 0.75 * before[i]!, 6))
    expect(each(source)).toEqual(toward)
    expect(target.version.current()).toBe(version + 1)
    const frozen = freeze(target)
    expect(() => blend(frozen, source, 0.5)).toThrow("cannot be moved")
    for (const model of [target, source, frozen]) model.dispose()
  })
})

describe("numbers", () => {
  // Llama 3.2 1B: 128256 · 2048 embeddings, 16 · (2048² + 2 · 512 · 2048 + 2048² + 3 · 8192 · 2048 + 2 · 2048) + 2048
  const table = { family: llama, vocabulary: 128256, width: 2048, layers: 16, heads: 32, keyValueHeads: 8 }
  const oneBillion = decoderConfig({ ...table, mlpWidth: 8192, maxPositions: 4096, tiedEmbeddings: true })

  it("counts parameters, a tied matrix once", () => {
    expect(parameterCount(oneBillion)).toBe(1235814400)
    const untied = decoderConfig({ ...table, mlpWidth: 8192, maxPositions: 4096 })
    expect(parameterCount(untied)).toBe(1235814400 + 128256 * 2048)
  })

  it("counts of experts those that a token goes to", () => {
    const shape = { vocabulary: 32000, width: 4096, layers: 32, heads: 32, keyValueHeads: 8, mlpWidth: 14336 }
    const config = decoderConfig({ family: mixtral, ...shape, maxPositions: 32768 })
    // Mixtral 8x7B has 46.7 B, of which experts have 32 · 8 · 3 · 4096 · 14336; a token uses 2 of 8
    const experts = 32 * 8 * 3 * 4096 * 14336
    expect(parameterCount(config)).toBe(46702792704)
    expect(activeParameterCount(config)).toBe(46702792704 - 0.75 * experts)
    const withoutKeys = flopsPerToken(config, 1) - 6 * 32 * 4096
    expect(withoutKeys).toBe(6 * (46702792704 - 0.75 * experts - 32000 * 4096))
  })

  it("6·N + 6·layers·width·T for full attention, N without a looked-up matrix", () => {
    const expected = 6 * 1235814400 + 6 * 16 * 2048 * 4096
    expect(flopsPerToken(oneBillion, 4096)).toBe(expected)
    expect(flopsPerToken(decoderConfig({ ...table, mlpWidth: 8192, maxPositions: 4096 }), 4096)).toBe(expected)
  })

  it("counts the keys that a window lets through", () => {
    const windowed = decoderConfig({ ...tinyTable, family: mistral, settings: { sliding_window: 3 } })
    const full = decoderConfig({ ...tinyTable, family: mistral, settings: { sliding_window: null } })
    // 8 tokens: w − w²/2T = 3 − 9/16 keys on average against 8/2, in 2 layers of 4 · 4 features
    expect(flopsPerToken(full, 8) - flopsPerToken(windowed, 8)).toBeCloseTo(12 * 2 * 16 * (4 - (3 - 9 / 16)), 9)
  })
})

describe("services", () => {
  const folder = fileURLToPath(new URL("../../../test/fixtures/families/llama3-tied", import.meta.url))
  const models = Effect.gen(function* () {
    const [policy, reference] = [yield* Policy, yield* ReferencePolicy]
    expect([policy.name, policy.variables.length]).toEqual(["policy", policy.parameters.size])
    expect([reference.name, reference.variables.length]).toEqual(["reference", 0])
    return tf.memory().numTensors
  })
  it.effect("load the policy trainable and the reference frozen, and dispose of both", () =>
    Effect.gen(function* () {
      const before = tf.memory().numTensors
      const during = yield* models.pipe(
        Effect.provide([Policy.layerFromFolder(folder), ReferencePolicy.layerFromFolder(folder)])
      )
      // 20 parameters each: 9 a layer, embeddings, final norm
      expect([during, tf.memory().numTensors]).toEqual([before + 40, before])
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})
