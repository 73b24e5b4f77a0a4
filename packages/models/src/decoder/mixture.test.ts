import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime, type Tensor2D, tf } from "@plumbline/runtime"
import { float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { vi } from "vitest"
import { gatedMlp } from "./mlp.ts"
import { mixtureOfExperts, type MixtureOptions } from "./mixture.ts"
import { parameterWeights } from "./weights.ts"

const [WIDTH, INNER] = [6, 5]

const values = (shape: ReadonlyArray<number>, phase: number) =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(7.3 * i + phase))

const options: MixtureOptions = { expert: gatedMlp("silu"), experts: 5, perToken: 2, renormalised: true }

/** Variables of a mixture, in its order; the router of the last expert may be pulled out of every token's reach. */
const made = (mixture: MixtureOptions, unheard = false) => {
  const mlp = mixtureOfExperts(mixture)
  const specs = mlp.parameters("mlp", { width: WIDTH, mlpWidth: INNER, bias: false })
  const parameters = new Map(
    specs.map(({ name, shape }, i) => [name, tf.variable(tf.tensor(values(shape, i), [...shape]))] as const)
  )
  if (unheard) {
    const gate = values([mixture.experts, WIDTH], 0)
    // inputs below have a first number of 3 or more: a logit of −300 against sums of six numbers within 4
    gate.fill(0, -WIDTH).set([-100], gate.length - WIDTH)
    parameters.get("mlp.gate.weight")!.assign(tf.tensor2d(gate, [mixture.experts, WIDTH]))
  }
  return { mlp, parameters, weights: parameterWeights(parameters) }
}

const inputs = () => {
  const x = values([7, WIDTH], 0.5)
  for (let n = 0; n < 7; n++) x[n * WIDTH] = 3 + n / 7
  return tf.tensor2d(x, [7, WIDTH])
}

const cpu = { name: "cpu", layer: ModelRuntime.layerCpu, isThere: true } as const

describe.for([...float32Backends, cpu])("a mixture on $name", ({ isThere, layer }) => {
  const check = (name: string, body: () => void) =>
    it.effect.skipIf(!isThere)(name, () => Effect.provide(Effect.sync(body), layer))

  const forms: ReadonlyArray<readonly [string, MixtureOptions]> = [
    ["renormalised", options],
    ["as the softmax gives it", { ...options, renormalised: false, perToken: 3 }],
    ["with a shared expert and a width of its own", { ...options, sharedWidth: 4, expertWidth: 3 }],
    ["of one expert", { ...options, experts: 1, perToken: 1 }]
  ]
  for (const [form, mixture] of forms) {
    check(`gives what is recorded, and Σ p·expert(x), ${form}`, () => {
      const { mlp, weights } = made(mixture)
      const x = inputs()
      const found = mlp.apply(weights, "mlp", x).dataSync()
      const recorded = mlp.apply(weights, "mlp", x, { isRecorded: true }).dataSync()
      const expected = byDefinition(mixture, weights, x)
      found.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i]!, 4)
        expect(recorded[i]).toBeCloseTo(expected[i]!, 4)
      })
    })
  }

  check("gives an expert without a token a gradient of 0", () => {
    const { mlp, parameters, weights } = made({ ...options, perToken: 4 }, true)
    const x = inputs()
    const { grads } = tf.variableGrads(
      () => tf.sum(tf.square(mlp.apply(weights, "mlp", x))).asScalar(),
      [...parameters.values()]
    )
    expect(Object.keys(grads)).toHaveLength(parameters.size)
    for (const [name, { name: variable }] of parameters) {
      const size = tf.max(tf.abs(grads[variable]!)).dataSync()[0]!
      if (name.startsWith("mlp.experts.4.")) expect(size, name).toBe(0)
      else expect(size, name).toBeGreaterThan(1e-4)
    }
  })

  check("of one expert has the gradients of that expert", () => {
    const single = made({ ...options, experts: 1, perToken: 1 })
    const x = inputs()
    const loss = (output: Tensor2D) => tf.sum(tf.square(output)).asScalar()
    const inner = [...single.parameters].flatMap(([name, variable]) =>
      name.startsWith("mlp.experts.") ? [variable] : []
    )
    const { grads } = tf.variableGrads(() => loss(single.mlp.apply(single.weights, "mlp", x)), inner)
    const plain = tf.variableGrads(() => loss(options.expert.apply(single.weights, "mlp.experts.0", x)), inner)
    for (const { name } of inner) {
      const [found, expected] = [grads[name]!.dataSync(), plain.grads[name]!.dataSync()]
      found.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 3))
    }
  })

  check("leaves no tensor", () => {
    const { mlp, weights } = made(options)
    const x = inputs()
    const before = tf.memory().numTensors
    mlp.apply(weights, "mlp", x).dispose()
    mlp.apply(weights, "mlp", x, { isRecorded: true }).dispose()
    expect(tf.memory().numTensors).toBe(before)
  })
})

const torch = float32Backends.find(({ name }) => name === "torch")!

it.effect.skipIf(!torch.isThere)("what is recorded moves no value between host and device", () =>
  Effect.sync(() => {
    const { mlp, weights } = made({ ...options, sharedWidth: 4 })
    const x = inputs()
    mlp.apply(weights, "mlp", x, { isRecorded: true }).dispose()
    const { addon } = tf.backend() as unknown as { readonly addon: Record<"fromHost" | "toHost", () => unknown> }
    const moves = [vi.spyOn(addon, "fromHost"), vi.spyOn(addon, "toHost")]
    mlp.apply(weights, "mlp", x, { isRecorded: true }).dispose()
    expect(moves.map(({ mock }) => mock.calls.length)).toEqual([0, 0])
    mlp.apply(weights, "mlp", x).dispose()
    expect(moves[1]!.mock.calls.length).toBe(1)
    vi.restoreAllMocks()
  }).pipe(Effect.provide(torch.layer))
)

/** Token by token, on the host: softmax over all experts, the likeliest `perToken`, their MLPs by plain products. */
const byDefinition = (
  { experts, expert, perToken, renormalised, sharedWidth }: MixtureOptions,
  weights: ReturnType<typeof made>["weights"],
  x: Tensor2D
): ReadonlyArray<number> => {
  const run = (name: string, row: Tensor2D) => [...expert.apply(weights, name, row).dataSync()]
  const rows = tf.split(x, x.shape[0]) as Array<Tensor2D>
  return rows.flatMap((row) => {
    const logits = [...weights.linear(row, "mlp.gate").dataSync()].map(Math.exp)
    const total = logits.reduce((sum, value) => sum + value, 0)
    const likely = logits.map((value, e) => [value / total, e] as const).toSorted(([a], [b]) => b - a)
    const kept = likely.slice(0, perToken)
    const scale = renormalised ? kept.reduce((sum, [p]) => sum + p, 0) : 1
    const terms = kept.map(([p, e]) => run(`mlp.experts.${e}`, row).map((value) => (p / scale) * value))
    if (sharedWidth !== undefined) {
      const gate = 1 / (1 + Math.exp(-weights.linear(row, "mlp.shared_expert_gate").dataSync()[0]!))
      terms.push(run("mlp.shared_expert", row).map((value) => gate * value))
    }
    expect(kept).toHaveLength(Math.min(perToken, experts))
    return Array.from({ length: WIDTH }, (_, i) => terms.reduce((sum, term) => sum + term[i]!, 0))
  })
}
