import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "./model-runtime.ts"
import { GATED_MLP } from "./kernels/names.ts"
import { tapeRules } from "./kernels/tape-rules.ts"
import { float32Backends } from "./testing/backends.ts"
import { customGradient } from "./ops/custom-gradient.ts"
import { linear, linears } from "./ops/linear.ts"
import { addRmsNorm, rmsNorm } from "./ops/norms.ts"
import { expectClose, finiteDifferences, gradientsOf, leavesNothing, noise, type Op } from "./testing/tensors.ts"
import { forEachSaved } from "./tape-reach.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "./tf.ts"

interface Engine {
  readonly state: {
    readonly activeTape: ReadonlyArray<{ readonly kernelName: string; readonly saved: ReadonlyArray<Tensor> }>
    readonly tensorInfo: WeakMap<object, unknown>
  }
}

/** What the tape holds now: of each operation the shapes of those saved tensors whose values it keeps. */
const held = () => {
  const { activeTape, tensorInfo } = (tf.engine() as unknown as Engine).state
  return activeTape.map(({ kernelName, saved }) => [
    kernelName.replace("Plumbline", ""),
    saved.filter(({ dataId }) => tensorInfo.has(dataId)).map(({ shape }) => shape)
  ])
}

/** The gradient of Σ f(x). */
const slopeOf = (f: (x: Tensor2D) => Tensor, x: Tensor2D): Tensor =>
  tf.grad((at: Tensor) => tf.sum(f(at as Tensor2D)))(x)

/** What the tape holds after `f`, before the backward pass. */
const heldAfter = (f: (x: Tensor2D) => Tensor, x: Tensor2D) => {
  let found: ReturnType<typeof held> = []
  slopeOf((at) => {
    const y = f(at)
    found = held()
    return y
  }, x)
  return found
}

const cases: ReadonlyArray<readonly [string, Op, ReadonlyArray<ReadonlyArray<number>>]> = [
  ["add", (a: Tensor, b: Tensor) => tf.add(a, b), [[3, 4], [4]]],
  [
    "sub",
    (a: Tensor, b: Tensor) => tf.sub(a, b),
    [
      [3, 1],
      [3, 4]
    ]
  ],
  [
    "addN",
    (...parts: Array<Tensor>) => tf.addN(parts),
    [
      [2, 3],
      [2, 3],
      [2, 3]
    ]
  ],
  [
    "concat",
    (...parts: Array<Tensor>) => tf.concat(parts, 1),
    [
      [2, 3],
      [2, 1]
    ]
  ],
  [
    "stack",
    (...parts: Array<Tensor>) => tf.stack(parts),
    [
      [2, 3],
      [2, 3]
    ]
  ],
  ["expandDims", (x: Tensor) => tf.expandDims(x, 1), [[2, 3]]],
  ["mean", (x: Tensor) => tf.mean(x, 1), [[2, 3]]],
  ["sum", (x: Tensor) => tf.sum(x, 0), [[2, 3]]],
  [
    "pad",
    (x: Tensor) =>
      tf.pad(x, [
        [1, 0],
        [0, 2]
      ]),
    [[2, 3]]
  ],
  ["reshape", (x: Tensor) => tf.reshape(x, [3, 2]), [[2, 3]]],
  ["slice", (x: Tensor) => tf.slice(x, [0, 1], [2, -1]), [[2, 3]]],
  ["mul", (a: Tensor, b: Tensor) => tf.mul(a, b), [[3, 4], [4]]],
  [
    "matMul",
    (a: Tensor, b: Tensor) => tf.matMul(a, b, true),
    [
      [4, 3],
      [4, 2]
    ]
  ],
  ["square of an input used twice", (a: Tensor) => tf.mul(a, a), [[3]]]
]

describe.for(float32Backends.filter(({ isThere }) => isThere))(
  "a tape that follows variables, on $name",
  ({ layer, name }) => {
    beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, layer))))

    it.each(cases)("gives the gradients of %s, whichever are asked for", (_, op, shapes) => {
      leavesNothing(() => {
        const inputs = shapes.map((shape, i) => noise(shape, `input ${i}`))
        const weights = noise(op(...(inputs as unknown as Array<never>)).shape, "weights")
        const expected = finiteDifferences(op, inputs, weights)
        gradientsOf(op, inputs, weights).forEach((gradient, i) => expectClose(gradient, expected[i]!, 2e-3))
        inputs.forEach((input, i) => {
          const alone: Op = (x: Tensor) => op(...(inputs.map((other, j) => (i === j ? x : other)) as Array<never>))
          expectClose(gradientsOf(alone, [input], weights)[0]!, expected[i]!, 2e-3)
        })
      })
    })

    it("keeps no input of a product with a frozen weight, and only shapes where shapes are read", () => {
      leavesNothing(() => {
        const [x, frozen] = [noise<Tensor2D>([5, 4], "x"), noise<Tensor2D>([3, 4], "weight")]
        expect(heldAfter((at) => linear(at, frozen, tf.tensor1d([1, 2, 3])), x)).toEqual([
          ["Linear", [[3, 4]]],
          [name.startsWith("torch") ? "AddBias" : "Add", []]
        ])
        expect(heldAfter((weight) => linear(x, weight), frozen)).toEqual([["Linear", [[5, 4]]]])
        expect(heldAfter((at) => tf.mul(tf.reshape(at, [4, 5]), 2), x)).toEqual([
          ["Reshape", []],
          ["Multiply", [[]]]
        ])
      })
    })

    it("records nothing that no variable leads to", () => {
      leavesNothing(() => {
        const [x, constant] = [tf.tensor2d([[2, 3]]), tf.tensor2d([[5, 7]])]
        const cube = (of: Tensor) =>
          customGradient([of], ([at], save) => {
            save([at!])
            const gradFunc = (dy: Tensor, [saved]: Array<Tensor>) => [tf.mul(dy, tf.mul(3, tf.square(saved!)))]
            return { value: tf.pow(at!, 3), gradFunc }
          })
        const f = (at: Tensor2D) => tf.mul(tf.square(cube(constant)), tf.sub(constant, tf.mul(constant, at)))
        expect(heldAfter(f, x).map(([kernel]) => kernel)).toEqual(["Multiply", "Sub", "Multiply"])
        // d/dx c⁶·(c − c·x) = −c⁷
        expect([...slopeOf(f, x).dataSync()]).toEqual([-78_125, -823_543])
      })
    })

    it("makes no gradient of a frozen norm", (context) => {
      context.skip(name !== "torch", "one pass makes both here")
      leavesNothing(() => {
        const [x, weight] = [noise<Tensor2D>([5, 4], "x"), noise<Tensor1D>([4], "weight")]
        const made: Array<number> = []
        const { runKernel } = tf.engine()
        tf.engine().runKernel = ((...args: Parameters<typeof runKernel>) => {
          const outputs = runKernel.apply(tf.engine(), args)
          if (args[0].endsWith("NormGradient")) made.push((outputs as unknown as Array<Tensor>).length)
          return outputs
        }) as typeof runKernel
        slopeOf((at) => rmsNorm(addRmsNorm(at, x, weight, 1e-5).sum, weight, 1e-5), x)
        Reflect.deleteProperty(tf.engine(), "runKernel")
        expect(made).toEqual([1, 1])
      })
    })

    it("keeps of a gated MLP what the asked-for gradients read, of its outputs too", () => {
      leavesNothing(() => {
        const inputs = { x: tf.ones([5, 8]), gate: tf.ones([256, 8]), up: tf.zeros([256, 8]), down: tf.ones([8, 256]) }
        const outputs = [tf.zeros([5, 8]), tf.zeros([5, 512]), tf.zeros([5, 256])]
        const [, slopes, gated] = outputs
        const readFor = (...asked: ReadonlyArray<string>) => {
          const read: Array<Tensor> = []
          forEachSaved({ kernel: GATED_MLP, inputs, outputs }, tapeRules, new Set(asked), (tensor, isRead) => {
            if (isRead) read.push(tensor)
          })
          return read
        }
        const { down, gate, up, x } = inputs
        expect(readFor("x")).toEqual([gate, up, down, slopes])
        expect(readFor("gate")).toEqual([x, down, slopes])
        expect(readFor("down")).toEqual([gated])
        expect(readFor("gate", "down")).toEqual([x, down, slopes, gated])
        tf.dispose([...Object.values(inputs), ...outputs])
      })
    })

    it("has gradients of gradients, and goes on after an inner pass", () => {
      leavesNothing(() => {
        // x³ + 3x²·x = 4x³ after an inner pass: 12x²
        const f = (x: Tensor) => {
          const slope = tf.grad((at: Tensor) => tf.sum(tf.mul(at, tf.square(at))))(x)
          return tf.sum(tf.add(tf.pow(x, 3), tf.mul(slope, x)))
        }
        expectClose(tf.grad(f)(tf.tensor1d([1, 2])), [12, 48], 1e-5)
      })
    })

    it("asks for one gradient of several linear layers on one input", () => {
      leavesNothing(() => {
        const [x, first, second] = [
          noise<Tensor2D>([5, 4], "x"),
          noise<Tensor2D>([3, 4], "a"),
          noise<Tensor2D>([2, 4], "b")
        ]
        const ofSecond = (weight: Tensor2D) => {
          const [, y] = linears(x, [
            [first, undefined],
            [weight, undefined]
          ])
          return y!
        }
        expectClose(slopeOf(ofSecond, second), [...tf.matMul(tf.ones([2, 5]), x).dataSync()])
      })
    })
  }
)
