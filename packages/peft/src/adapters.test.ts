import { describe, expect, it } from "@effect/vitest"
import { type CausalLM, createModel, freeze, mixtral, qwen2 } from "@plumbline/models"
import { tinyModel, tinyTable, wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, philoxStream, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { adaptNew } from "./adapt.ts"
import { merged } from "./merge.ts"
import type { AdapterMethod } from "./method.ts"
import { bitFit } from "./methods/bit-fit.ts"
import { ia3 } from "./methods/ia3.ts"
import { lora } from "./methods/lora.ts"
import { vera } from "./methods/vera.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const rows = wholeRows([3, 9, 4, 9, 21, 7, 30], [8, 8, 1, 5, 17])

const logits = (model: CausalLM): Float32Array =>
  tf.tidy(
    () =>
      model
        .logits(
          rows,
          Int32Array.from(rows.tokens, (_, t) => t)
        )
        .dataSync() as Float32Array
  )

const worst = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

/** Gradient descent on the negative log-likelihood of the rows. */
const train = (model: CausalLM, steps: number) => {
  for (let step = 0; step < steps; step++) {
    const { grads, value } = tf.variableGrads(
      () => tf.neg(tf.sum(model.tokenLogProbs(rows).logProbs)).asScalar(),
      [...model.variables]
    )
    for (const variable of model.variables) {
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(0.02, grads[variable.name]!))))
    }
    model.version.advance()
    tf.dispose([value, ...Object.values(grads)])
  }
}

/** Puts noise on what is trained, so that nothing is 0 or 1 any more. */
const disturb = (model: CausalLM, scale = 0.1) =>
  model.variables.forEach((variable, v) => {
    const { normal } = philoxStream(7, `disturb/${v}`)
    const noise = Float32Array.from({ length: variable.size }, (_, i) => scale * normal(i))
    tf.tidy(() => variable.assign(tf.add(variable, tf.tensor(noise, variable.shape))))
  })

/** A model whose queries, keys and values have biases. */
const biased = () => {
  const model = createModel({ ...tinyTable, family: qwen2 }, 5)
  disturb(model)
  return model
}

const methods: ReadonlyArray<readonly [string, () => AdapterMethod]> = [
  ["LoRA", () => lora({ rank: 3, alpha: 6 })],
  ["LoRA on queries and the head", () => lora({ rank: 2, targets: ["q_proj", "lm_head"] })],
  ["rsLoRA with ranks by pattern", () => lora({ rank: 4, rankStabilized: true, rankPattern: { "0.*v_proj": 2 } })],
  [
    "LoRA with heads, embeddings and biases in full",
    () => lora({ rank: 2, targets: ["q_proj"], trainedModules: ["embed_tokens", "lm_head"], biases: "all" })
  ],
  ["LoRA with the biases of its layers", () => lora({ rank: 2, targets: ["k_proj"], biases: "adapted" })],
  [
    "LoRA beside linear layers in full",
    () => lora({ rank: 2, targets: ["q_proj"], trainedModules: ["o_proj", "up_proj"] })
  ],
  ["DoRA", () => lora({ rank: 3, decomposed: true })],
  ["orthogonal LoRA", () => lora({ rank: 4, init: "orthogonal" })],
  ["PiSSA", () => lora({ rank: 3, alpha: 5, init: "pissa", rankPattern: { v_proj: 2 } })],
  ["(IA)³", () => ia3()],
  ["VeRA", () => vera({ rank: 5 })],
  ["BitFit", () => bitFit()]
]

describe.for(methods)("%s", ([, make]) => {
  check("starts as the base, exactly where it says so", () => {
    const base = freeze(biased())
    const { adapter, model } = adaptNew(base, make(), 3)
    const difference = worst(logits(model), logits(base))
    if (adapter.method.startsNeutral) expect(difference).toBe(0)
    else expect(difference).toBeLessThan(1e-5)
  })

  check("trains its own tensors and leaves every bit of the base", () => {
    const base = freeze(biased())
    const before = [...base.parameters.values()].map((tensor) => tensor.dataSync().slice())
    const { adapter, model } = adaptNew(base, make(), 3)
    const start = logits(model)
    expect(new Set(model.variables)).toEqual(new Set(adapter.rates.keys()))
    train(model, 3)
    expect(worst(logits(model), start)).toBeGreaterThan(1e-4)
    const after = [...base.parameters.values()].map((tensor) => tensor.dataSync())
    after.forEach((values, i) => expect(values).toEqual(before[i]))
  })

  check("gives the same merged, up to rounding, and goes back to the base", () => {
    const base = freeze(biased())
    const untouched = logits(base)
    const adapted = adaptNew(base, make(), 3)
    disturb(adapted.model)
    const expected = logits(adapted.model)
    expect(worst(expected, untouched)).toBeGreaterThan(1e-2)
    const before = tf.memory().numTensors
    const whole = merged(adapted)
    expect([...whole.parameters.keys()]).toEqual([...base.parameters.keys()])
    // logits are around 1
    expect(worst(logits(whole), expected)).toBeLessThanOrEqual(1e-5)
    whole.dispose()
    expect(tf.memory().numTensors).toBe(before)
    expect(logits(base)).toEqual(untouched)
  })

  check("has the gradients of finite differences", () => {
    const { adapter, model } = adaptNew(freeze(biased()), make(), 3)
    disturb(model)
    const loss = () => tf.tidy(() => tf.sum(model.tokenLogProbs(rows).logProbs).asScalar())
    const { grads, value } = tf.variableGrads(loss, [...model.variables])
    value.dispose()
    for (const variable of model.variables) {
      // no gradient flows through the norm of a decomposed adapter, so that of its matrices is not the whole one
      if (adapter.method.config["use_dora"] === true && !variable.name.endsWith("vector")) continue
      const direction = philoxStream(1, variable.name.replace(/^.*#adapter\d+/, ""))
      const along = Float32Array.from(
        { length: variable.size },
        (_, i) => direction.normal(i) / Math.sqrt(variable.size)
      )
      const slope = (grads[variable.name]!.dataSync() as Float32Array).reduce((sum, g, i) => sum + g * along[i]!, 0)
      const at = (distance: number) => {
        const held = variable.dataSync().slice()
        tf.tidy(() =>
          variable.assign(
            tf.add(
              variable,
              tf.tensor(
                along.map((a) => distance * a),
                variable.shape
              )
            )
          )
        )
        const here = loss().dataSync()[0]!
        tf.tidy(() => variable.assign(tf.tensor(held, variable.shape)))
        return here
      }
      const expected = (at(1e-2) - at(-1e-2)) / 2e-2
      // float32 losses around 40: differences of 10⁻⁵ over 2·10⁻²
      expect(Math.abs(slope - expected), variable.name).toBeLessThan(2e-3 + 2e-3 * Math.abs(expected))
    }
  })

  check("is copied with what it has learnt, and apart from it", () => {
    const base = freeze(biased())
    const { model } = adaptNew(base, make(), 3)
    train(model, 1)
    const then = logits(model)
    const copy = freeze(model, "reference")
    expect(copy.variables).toEqual([])
    train(model, 1)
    expect(logits(copy)).toEqual(then)
    expect(worst(logits(model), then)).toBeGreaterThan(0)
  })
})

describe("adapters", () => {
  check("share one base, and leave nothing behind", () => {
    const base = freeze(tinyModel(5))
    const before = tf.memory().numTensors
    const [a, b] = [adaptNew(base, lora({ rank: 2 }), 1), adaptNew(base, lora({ rank: 3 }), 2)]
    disturb(a.model)
    const other = logits(b.model)
    disturb(b.model)
    expect(worst(logits(b.model), other)).toBeGreaterThan(1e-3)
    a.model.dispose()
    b.model.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })

  check("that are new and neutral are the base where a frozen copy is asked for, at no memory", () => {
    const base = freeze(tinyModel(5))
    const { model } = adaptNew(base, lora({ rank: 2 }), 1)
    const before = tf.memory().numTensors
    const reference = freeze(model, "reference")
    expect(tf.memory().numTensors).toBe(before)
    reference.dispose()
    expect(logits(model)).toEqual(logits(base))
  })

  check("are the same with blocks computed again", () => {
    const base = freeze(biased())
    const { model } = adaptNew(base, lora({ rank: 3, dropout: 0.5, biases: "all" }), 1)
    disturb(model)
    const gradients = [model, model.recomputing()].map((one) => {
      const { grads } = tf.variableGrads(
        () => tf.sum(one.tokenLogProbs(rows).logProbs).asScalar(),
        [...model.variables]
      )
      return model.variables.map(({ name }) => grads[name]!.dataSync())
    })
    expect(gradients[1]).toEqual(gradients[0])
  })
})

/** Whose experts are likely to differ in every token. */
const mixture = () => {
  const settings = { initializer_range: 0.3, num_local_experts: 4 }
  return freeze(createModel({ ...tinyTable, family: mixtral, settings }, 5))
}

check("leaves the experts of a mixture together where all of them are adapted alike, or none", () => {
  const base = mixture()
  const isTogether = (method: AdapterMethod) => adaptNew(base, method, 3).model.weights.grouped !== undefined
  expect(isTogether(lora({ rank: 2, targets: ["q_proj", "gate"], trainedModules: ["lm_head"] }))).toBe(true)
  expect(isTogether(lora({ rank: 2 }))).toBe(true)
  expect(isTogether(lora({ rank: 2, targets: ["w1"] }))).toBe(true)
  expect(isTogether(lora({ rank: 2, rankPattern: { "experts.2.w1": 4 } }))).toBe(false)
  expect(isTogether(lora({ rank: 2, targets: ["experts.2.w1"] }))).toBe(false)
  expect(isTogether(lora({ rank: 2, dropout: 0.1 }))).toBe(false)
  expect(isTogether(lora({ rank: 2, decomposed: true }))).toBe(false)
  expect(isTogether(lora({ rank: 2, targets: ["q_proj"], trainedModules: ["w1"] }))).toBe(false)
})

/** The same model, whose experts go one by one. */
const apart = (base: CausalLM): CausalLM => {
  const { dispose, name, parameters, version, weights } = base
  const alone = { ...weights, grouped: undefined }
  return base.rebuilt({ name, parameters, variables: [], weights: alone, version, dispose }) as CausalLM
}

check("trains experts together as one by one", () => {
  const all: ReadonlyArray<ReadonlyArray<string> | undefined> = [undefined, ["w2"], ["w1", "w3", "q_proj"]]
  for (const targets of all) {
    const method = lora({ rank: 2, alpha: 4, init: "gaussian", ...(targets && { targets }) })
    const models = [mixture(), apart(mixture())].map((base) => adaptNew(base, method, 3).model)
    expect(models.map(({ weights }) => weights.grouped === undefined)).toEqual([false, true])
    const before = logits(models[0]!)
    for (const model of models) {
      disturb(model)
      train(model, 1)
    }
    const [together, oneByOne] = models.map(logits) as [Float32Array, Float32Array]
    expect(worst(together, oneByOne)).toBeLessThan(1e-4)
    expect(worst(together, before)).toBeGreaterThan(1e-1)
  }
})
