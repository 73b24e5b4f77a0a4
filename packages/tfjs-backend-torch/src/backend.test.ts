import * as tf from "@tensorflow/tfjs-core"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { type Addon, addonPath, isTorchError, loadAddon } from "./addon.ts"
import { aten, inScope } from "./aten.ts"
import { TorchBackend } from "./backend.ts"
import { type Kernel, registerTorchKernel } from "./kernel.ts"
import { registerTorchBackend } from "./register.ts"
import { BFLOAT16, FLOAT16, FLOAT32 } from "./scalar-type.ts"
import { typeOf } from "./handle-facts.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]

describe.skipIf(addonPath() === undefined)("TorchBackend", () => {
  let addon: Addon
  const backend = () => tf.backend() as TorchBackend
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
    addon = loadAddon()
  })

  const run = (name: string, inputs: object = {}): tf.Tensor =>
    tf.engine().runKernel(name, inputs as tf.NamedTensorMap) as tf.Tensor

  it("gives the same bits each time on the CPU, whether that is asked for or not", () => {
    expect(new TorchBackend({ device: "cpu" }).isDeterministic).toBe(true)
    expect(new TorchBackend({ device: "cpu", deterministic: true }).isDeterministic).toBe(true)
  })

  it("is registered again after it was removed", async () => {
    tf.removeBackend("torch")
    registerTorchBackend({ device: "cpu" })
    expect([await tf.setBackend("torch"), tf.getBackend()]).toEqual([true, "torch"])
  })

  it("refuses devices and storages that there are not, by name", () => {
    const refused = (message: string) => expect.objectContaining({ name: "TorchUnavailable", message })
    expect(() => registerTorchBackend({ device: "gpu" as "cpu" })).toThrow(
      refused('no device is named "gpu": "cpu", "cuda" or "cuda:1"')
    )
    expect(() => registerTorchBackend({ device: "cpu", storage: "float8" as "float16" })).toThrow(
      refused('nothing is stored as "float8": float32, bfloat16, float16')
    )
  })

  it("frees a kernel's temporaries when it ends, and when it throws", () => {
    const [relu, mm] = [aten("relu"), aten("mm")]
    const chain: Kernel = ({ x }, _, scope) => scope.out(relu(relu(relu(scope.of(x)))), "float32", x.shape)
    const broken: Kernel = ({ x }, _, scope) => scope.out(mm(relu(scope.of(x)), scope.of(x)), "float32")
    registerTorchKernel("TestChain", chain)
    registerTorchKernel("TestBroken", broken)
    const x = tf.ones([2, 3])
    const before = addon.handleStatistics().handles
    const y = run("TestChain", { x })
    expect(addon.handleStatistics().handles).toBe(before + 1)
    y.dispose()
    let failure: unknown
    try {
      run("TestBroken", { x })
    } catch (cause) {
      failure = cause
    }
    expect(isTorchError(failure) && [failure.kind, failure.operator]).toEqual(["operator", "aten::mm"])
    expect(addon.handleStatistics().handles).toBe(before)
    x.dispose()
  })

  it("does not grow over 1,000 steps", () => {
    const weight = tf.variable(tf.ones([8, 8]))
    const x = tf.ones([4, 8]) as tf.Tensor2D
    const step = () =>
      tf.tidy(() => {
        const hidden = tf.relu(tf.matMul(x, weight as tf.Tensor2D))
        weight.assign(tf.sub(weight, tf.mul(tf.matMul(x, hidden, true, false), 1e-3)))
      })
    const count = () => [addon.handleStatistics(), tf.memory().numTensors, backend().numDataIds()]
    // the peak of the second step is that of every later one
    for (let i = 0; i < 2; i++) step()
    const before = count()
    for (let i = 0; i < 1000; i++) step()
    expect(count()).toEqual(before)
    tf.dispose([weight, x])
  })

  it("frees after a collection what the program dropped, and what lies beside it", async () => {
    setFlagsFromString("--expose-gc")
    const collect = runInNewContext("gc") as () => void
    const alive = () => [addon.handleStatistics().handles, backend().numDataIds()]
    const collected = async () => {
      collect()
      // what is to be done for the collected is a task of its own
      await new Promise((resolve) => setTimeout(resolve, 20))
      return alive()
    }
    const [handles, ids] = (await collected()) as [number, number]
    const drop = () => {
      for (let i = 0; i < 10; i++) {
        backend().setCompanion(tf.ones([100]), addon.fromHost(new Float32Array(5), [5], FLOAT32, "cpu"))
      }
    }
    drop()
    expect(alive()).toEqual([handles + 20, ids + 10])
    await vi.waitFor(async () => expect(await collected()).toEqual([handles, ids]))
  })

  it("keeps views alive after their tensor is disposed", () => {
    const x = tf.tensor2d([1, 2, 3, 4], [2, 2])
    const [row, turned] = [tf.slice(x, [1, 0], [1, 2]), tf.transpose(x)]
    x.dispose()
    expect([values(row), values(turned)]).toEqual([
      [3, 4],
      [1, 3, 2, 4]
    ])
    tf.dispose([row, turned])
  })

  it.each([
    ["bfloat16", BFLOAT16, 1 + 2 ** -7],
    ["float16", FLOAT16, 1 + 2 ** -10]
  ] as const)("lets %s storage through kernels, adds up in float32 and widens what is read", (_, type, one) => {
    const to = aten("to.dtype")
    registerTorchKernel("TestNarrow", ({ x }, __, scope) => scope.out(to(scope.of(x), type), "float32", x.shape))
    tf.tidy(() => {
      const storage = (x: tf.Tensor) => inScope(() => typeOf(backend().handle(x)))
      // `one` is the next number after 1 in the narrow format, so it and its negative pass exactly.
      const x = run("TestNarrow", { x: tf.mul(tf.ones([4096]), one) })
      expect([x.dtype, storage(x), values(tf.neg(x))[0]]).toEqual(["float32", type, -one])
      expect([storage(tf.mul(x, 2)), storage(tf.add(x, tf.ones([4096])))]).toEqual([type, FLOAT32])
      // A narrow sum of 4096 numbers just above 1 would be rounded to 8 or 11 bits.
      expect(values(tf.sum(x))).toEqual([4096 * one])
    })
  })

  it("computes in JavaScript's whole numbers: division by 0, powers below 0, NaN as int32", () => {
    tf.tidy(() => {
      const [seven, zero] = [tf.scalar(7, "int32"), tf.scalar(0, "int32")]
      expect(values(tf.mod(tf.scalar(-7, "int32"), tf.scalar(3, "int32")))).toEqual([2])
      expect(values(tf.floorDiv(tf.scalar(-7, "int32"), tf.scalar(2, "int32")))).toEqual([-4])
      expect(() => tf.floorDiv(seven, zero).dataSync()).not.toThrow()
      expect(values(tf.pow(seven, tf.scalar(-1, "int32")))).toEqual([0])
      expect(values(tf.cast(tf.tensor1d([Number.NaN, -1.5, 1.5]), "int32"))).toEqual([0, -1, 1])
    })
  })

  it("knows of one value throughout where it came from one, and forgets it once the values are written anew", () => {
    tf.tidy(() => {
      const uniform = (x: tf.Tensor) => backend().isUniform(x)
      const [same, mixed, three] = [tf.ones([4]), tf.tensor1d([1, 2, 1, 1]), tf.scalar(3)]
      const kept = [
        same,
        tf.add(same, same),
        tf.neg(same),
        tf.mul(three, same),
        tf.div(same, same),
        tf.reshape(same, [2, 2])
      ]
      expect(kept.map(uniform)).toEqual(kept.map(() => true))
      const others = [
        mixed,
        tf.neg(mixed),
        tf.mul(mixed, same),
        tf.sub(three, mixed),
        tf.cumsum(same),
        tf.concat([same, mixed])
      ]
      expect(others.map(uniform)).toEqual(others.map(() => false))
      registerTorchKernel("TestWrite", ({ x }, _, scope) => scope.written(x as tf.Tensor))
      run("TestWrite", { x: same })
      expect(uniform(same)).toBe(false)
      expect(uniform(tf.slice(mixed, [1], [1]))).toBe(true)
    })
  })

  it("refuses indices outside, whether they came from the host or were computed", () => {
    tf.tidy(() => {
      const x = tf.tensor1d([1, 2, 3])
      expect(() => tf.gather(x, tf.tensor1d([0, 3], "int32"))).toThrow("the index value 3 is not in [0, 2]")
      expect(() => tf.gather(x, tf.add(tf.tensor1d([0, -1], "int32"), tf.scalar(0, "int32")))).toThrow(
        "value -1 is not"
      )
      expect(() => tf.gatherND(x, tf.tensor2d([[5]], [1, 1], "int32"))).toThrow("Invalid indices: [5]")
      expect(() => tf.scatterND(tf.tensor2d([[-1]], [1, 1], "int32"), tf.tensor1d([1]), [3])).toThrow(
        "Invalid indices: [-1]"
      )
      // Ids that are no segment are left out, as tfjs has it.
      const ids = tf.tensor1d([0, -1, 9], "int32")
      expect(values(tf.unsortedSegmentSum(x, ids, 2))).toEqual([1, 0])
    })
  })

  it("draws the same samples from the same seed, in the share of their probabilities", () => {
    tf.tidy(() => {
      const logits = tf.log(tf.tensor1d([0.1, 0.2, 0.7])) as tf.Tensor1D
      const [first, again, other] = [1, 1, 2].map((seed) => values(tf.multinomial(logits, 4000, seed)))
      expect(again).toEqual(first)
      expect(other).not.toEqual(first)
      // Standard error of a share of 0.7 in 4,000 draws: 0.0072; six of them.
      expect(Math.abs(first!.filter((sample) => sample === 2).length / 4000 - 0.7)).toBeLessThan(0.044)
    })
  })

  it("lets a tensor be made of the wrong number of values, and refuses to compute with it or to read it", () => {
    tf.tidy(() => {
      const ragged = tf.tensor([
        [5, 6, 7],
        [8, 9, 10, 11]
      ] as unknown as Array<Array<number>>)
      const wrong = expect.objectContaining({ name: "WrongCount", shape: [2, 3], given: 7 })
      expect(ragged.shape).toEqual([2, 3])
      expect(() => ragged.dataSync()).toThrow(wrong)
      expect(() => tf.neg(ragged)).toThrow(wrong)
      // a list of tensors, which tfjs-layers hands on
      expect(tf.tensor([tf.scalar(1)] as unknown as Array<number>).shape).toEqual([1])
    })
  })

  it("times what it computes", async () => {
    const x = tf.ones([64, 64]) as tf.Tensor2D
    const { kernelMs } = await tf.time(() => tf.matMul(x, x).dispose())
    expect(kernelMs).toBeGreaterThan(0)
    x.dispose()
  })
})
