import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { torchMemory } from "./torch.ts"
import { fused, LINEARS_INPUT_GRADIENT } from "../kernels/names.ts"
import { addProduct } from "../ops/add-product.ts"
import { gatedActivation } from "../ops/activation.ts"
import { attention } from "../ops/attention.ts"
import { embedding } from "../ops/embedding.ts"
import { linear, linears } from "../ops/linear.ts"
import { narrowed as keptNarrow } from "../ops/narrowed.ts"
import { addRmsNorm, rmsNorm } from "../ops/norms.ts"
import { adamwUpdate } from "../ops/optimizer.ts"
import { tokenLogProbs } from "../ops/token-log-probs.ts"
import { writeValues } from "../ops/write-values.ts"
import { bfloat16Backends } from "../testing/backends.ts"
import type { FusedCase } from "../testing/fused-case.ts"
import { fusedCases } from "../testing/random-suite.ts"
import { routingSuite } from "../testing/routing-suite.ts"
import { gradientsOf, leavesNothing, noise, norm, type Op, wave } from "../testing/tensors.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"

const start = (layer: typeof ModelRuntime.layerCpu) => Effect.runPromise(Effect.provide(ModelRuntime, layer))

/**
 * ‖a − b‖ / ‖b‖; of tensors that are all but zero, as the slopes of a softmax over one key, to numbers of 0.1.
 *
 * The inputs are numbers of about 1.
 */
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const wanted = Array.from(b)
  const difference = norm(wanted.map((value, i) => a[i]! - value))
  return difference === 0 ? 0 : difference / Math.max(norm(wanted), 0.1 * Math.sqrt(wanted.length))
}

/** The same numbers in the storage that activations have inside a model. */
const narrowed = (x: Tensor2D): Tensor2D => linear(x, tf.eye(x.shape[1]))

/** The case with its activations narrowed first. */
const withNarrow = ({ activations, op }: FusedCase): Op => {
  const narrow = (x: Tensor) => {
    const [tokens, ...rest] = x.shape as [number, ...Array<number>]
    const flat = tf.reshape(x, [tokens, rest.reduce((product, length) => product * length, 1)]) as Tensor2D
    return tf.reshape(narrowed(flat), x.shape)
  }
  return (...inputs: ReadonlyArray<Tensor>) =>
    op(...(inputs.map((x, i) => (i < activations ? narrow(x) : x)) as unknown as ReadonlyArray<never>))
}

const rows = { starts: Int32Array.of(0, 9), lengths: Int32Array.of(9, 4) }
const attend = { queries: rows, keys: rows, scale: 0.25 }

const cases: ReadonlyArray<readonly [string, () => ReadonlyArray<Tensor>, Op]> = [
  ["linear", () => [noise([13, 32], "x"), noise([24, 32], "weight")], linear],
  ["rmsNorm", () => [noise([13, 32], "x"), noise([32], "weight")], (x, weight) => rmsNorm(narrowed(x), weight, 1e-5)],
  ["embedding", () => [noise([9, 16], "weight")], (weight) => embedding(weight, Int32Array.of(3, 0, 3))],
  [
    "gate",
    () => [noise([5, 16], "gate"), noise([5, 16], "up")],
    (gate, up) => gatedActivation(narrowed(gate), narrowed(up), "silu")
  ],
  [
    "attention",
    () => [noise([13, 4, 16], "q"), noise([13, 2, 16], "k"), noise([13, 2, 16], "v")],
    (q, k, v) => attention(q, k, v, attend)
  ],
  [
    "linears",
    () => [noise([13, 32], "x"), noise([24, 32], "first"), noise([8, 32], "second")],
    (x, first, second) =>
      tf.concat(
        linears(x, [
          [first, undefined],
          [second, undefined]
        ]) as Array<Tensor2D>,
        1
      )
  ],
  [
    "addRmsNorm",
    () => [noise([13, 32], "x"), noise([13, 32], "addend"), noise([32], "weight")],
    (x, addend, weight) => {
      const { normed, sum } = addRmsNorm(narrowed(x), narrowed(addend), weight, 1e-5)
      return tf.concat([sum, normed], 1)
    }
  ],
  [
    "gate of two columns of one product",
    () => [noise([5, 16], "x"), noise([24, 16], "gate"), noise([24, 16], "up")],
    (x, gate, up) => {
      const [first, second] = linears(x, [
        [gate, undefined],
        [up, undefined]
      ])
      return gatedActivation(first!, second!, "silu")
    }
  ],
  [
    "log-probs",
    () => [noise([3, 16], "hidden"), noise([40, 16], "weight")],
    (hidden, weight) => tokenLogProbs(hidden, weight, Int32Array.of(7, 0, 39)).logProbs
  ]
]

const drawnCases = fusedCases.map((one) => ({ ...one, op: withNarrow(one) }))

const suite = (layer: (typeof bfloat16Backends)[number]["layer"]) => {
  beforeAll(async () => {
    await start(ModelRuntime.layerCpu)
    await start(layer)
  })

  const valuesOn = async (backend: string, inputs: () => ReadonlyArray<Tensor>, op: Op) => {
    await tf.setBackend(backend)
    return tf.tidy(() => {
      const tensors = inputs()
      const out = op(...(tensors as ReadonlyArray<never>))
      // as variables, so that products read the copy that the backend keeps of them
      const weights = tensors.map((tensor) => tf.variable(tensor))
      const gradients = gradientsOf(op, weights, wave(out.shape, 0.8))
      const values = [out, ...gradients].map((tensor) => tensor.dataSync())
      tf.dispose(weights)
      return values as never
    }) as unknown as ReadonlyArray<Float32Array>
  }

  it.for(cases)("%s is within 2 %% of float32, value and gradients", async ([, inputs, op]) => {
    const exact = await valuesOn("cpu", inputs, op)
    const narrow = await valuesOn("torch", inputs, op)
    exact.forEach((values, i) => expect(distance(narrow[i]!, values)).toBeLessThanOrEqual(2e-2))
  })

  describe("routing", () => {
    beforeAll(() => tf.setBackend("torch"))
    routingSuite()
  })

  it("leaves a product with a bias in 16 bits", async () => {
    await tf.setBackend("torch")
    const bytes = () => torchMemory().allocatedBytes
    const [x, weight, bias] = [noise([256, 512], "x"), noise([512, 512], "weight"), noise([512], "bias")] as const
    // the copies of weight and bias that the backend keeps
    tf.dispose(linear(x as Tensor2D, weight as Tensor2D, bias as Tensor1D))
    const before = bytes()
    const sum = linear(x as Tensor2D, weight as Tensor2D, bias as Tensor1D)
    expect(bytes() - before).toBeLessThan(256 * 512 * 3)
    tf.dispose([sum, x, weight, bias])
  })

  it.for(drawnCases)("$title is within 2 % of its composition in float32", async ({ composed, inputs, op }) => {
    const exact = await valuesOn("cpu", inputs, composed)
    const narrow = await valuesOn("torch", inputs, op)
    exact.forEach((values, i) => expect(distance(narrow[i]!, values), `of ${i}`).toBeLessThanOrEqual(2e-2))
  })

  it("reads a weight's new values after an optimizer step, an assignment and values from the host, and steps in float32", () => {
    leavesNothing(() => {
      const x = tf.tensor2d([[1]])
      const weight = tf.variable(tf.tensor2d([[1]]))
      const [first, second] = [0, 0].map(() => tf.variable(tf.zeros([1, 1]))) as [never, never]
      const product = () => linear(x, weight as unknown as Tensor2D).dataSync()[0]
      expect(product()).toBe(1)
      const item = { parameter: weight, gradient: tf.tensor2d([[1]]), firstMoment: first, secondMoment: second }
      const step = { beta1: 0.9, beta2: 0.999, epsilon: 0, step: 1, gradientScale: 1 }
      // the first step of Adam is the learning rate; 2⁻¹² is lost on a bfloat16 1, not on a float32 one
      adamwUpdate([{ ...item, weightDecay: 0 }], { ...step, learningRate: 2 ** -12 })
      expect(weight.dataSync()[0]).toBeCloseTo(1 - 2 ** -12, 6)
      adamwUpdate([{ ...item, weightDecay: 0 }], { ...step, learningRate: 0.5 })
      expect(product()).toBeCloseTo(weight.dataSync()[0]!, 2)
      expect(product()).toBeLessThan(0.9)
      weight.assign(tf.tensor2d([[3]]))
      expect(product()).toBe(3)
      const { dataId: shared } = weight
      // the assigned tensor shares its memory until the end of the scope; what comes after is written where it lies
      writeValues(weight, Float32Array.of(5))
      expect([product(), weight.dataId === shared]).toEqual([5, false])
      const { dataId: own } = weight
      writeValues(weight, Float32Array.of(7))
      expect([product(), weight.dataId === own]).toEqual([7, true])
      tf.dispose([weight, first, second])
    })
  })

  it("adds products where the sum lies: in columns of a joint product, in gradients, and nowhere that another tensor is", () => {
    leavesNothing(() => {
      const x = noise<Tensor2D>([13, 32], "x")
      const [first, second, up] = [
        noise<Tensor2D>([24, 32], "first"),
        noise<Tensor2D>([8, 32], "second"),
        noise<Tensor2D>([24, 8], "up")
      ]
      const [sum, narrow] = linears(x, [
        [first, undefined],
        [second, undefined]
      ])
      const [before, beside] = [sum!.dataSync(), narrow!.dataSync()]
      const held = tf.clone(sum!)
      const apart = addProduct(sum!, narrow!, up, 0.5)
      expect(sum!.dataSync()).toEqual(before)
      held.dispose()
      const added = addProduct(sum!, narrow!, up, 0.5)
      expect([apart.dataId === sum!.dataId, added.dataId === sum!.dataId]).toEqual([false, true])
      expect([added.dataSync(), narrow!.dataSync()]).toEqual([apart.dataSync(), beside])
      // a quarter of the product's columns, which would keep the others
      const quarter = addProduct(narrow!, narrow!, noise([8, 8], "square"), 1)
      expect([quarter.dataId === narrow!.dataId, narrow!.dataSync()]).toEqual([false, beside])
      const slope = linear(added, tf.transpose(first))
      const addedTo = () => fused<Tensor>(LINEARS_INPUT_GRADIENT, [added, first, slope])
      const other = tf.clone(slope)
      const elsewhere = addedTo()
      other.dispose()
      const inPlace = addedTo()
      expect([elsewhere.dataId === slope.dataId, inPlace.dataId === slope.dataId]).toEqual([false, true])
      // the one is rounded once, the other twice
      expect(distance(inPlace.dataSync(), elsewhere.dataSync())).toBeLessThan(2 ** -7)
    })
  })

  it("multiplies with weights that are kept narrow alone as with those that have a wide original, bit for bit", () => {
    leavesNothing(() => {
      const x = tf.variable(noise([13, 32], "x"))
      const wide = [noise([24, 32], "first"), noise([8, 32], "second")] as Array<Tensor2D>
      const narrow = wide.map(keptNarrow)
      const product = (weights: ReadonlyArray<Tensor2D>) =>
        tf.concat(
          linears(
            x as unknown as Tensor2D,
            weights.map((weight) => [weight, undefined] as const)
          ) as Array<Tensor2D>,
          1
        )
      const both = [wide, narrow].map((weights) => {
        // twice: the first time the weights of a group are laid end to end
        product(weights).dispose()
        const [value, [gradient]] = [product(weights), gradientsOf(() => product(weights), [x], wave([13, 32], 0.8))]
        return [value.dataSync(), gradient!.dataSync()]
      })
      x.dispose()
      expect(both[1]).toEqual(both[0])
      const rounded = narrow.map((weight) => weight.dataSync())
      expect(distance(rounded[0]!, wide[0]!.dataSync())).toBeLessThan(2 ** -8)
      expect(rounded[1]).toEqual(keptNarrow(wide[1]!).dataSync())
    })
  })
}

for (const { isThere, layer, name } of bfloat16Backends) {
  describe.skipIf(!isThere)(`${name} with bfloat16 storage`, () => suite(layer))
}
