import * as tf from "@tensorflow/tfjs-core"
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { type Addon, addonPath, isTorchError, loadAddon } from "./addon.ts"
import { aten, atenInPlace, atenOwned, inScope } from "./aten.ts"
import type { TorchBackend } from "./backend.ts"
import { type Kernel, KernelScope } from "./kernel.ts"
import { registerTorchBackend } from "./register.ts"
import { type Dependence, replayed } from "./replayed.ts"
import { emptyOf } from "./fused/storage.ts"
import { FLOAT32 } from "./scalar-type.ts"
import { traced } from "./traced.ts"

const [add, sub, mm, reshape] = [aten("add.Scalar"), aten("sub.Tensor"), aten("mm"), aten("reshape")]
const addInto = atenInPlace("add_.Scalar")
const narrowOwned = atenOwned("narrow")

type Named = Record<"a" | "b", tf.Tensor>

/** a − b + c, by memory of its own. */
const difference: Kernel = ({ a, b }: Named, { c }: { readonly c: number }, scope) =>
  scope.out(add(sub(scope.of(a), scope.of(b)), c), "float32", a.shape)

describe.skipIf(addonPath() === undefined)("replayed", () => {
  let addon: Addon
  let backend: TorchBackend
  let before: unknown
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
    addon = loadAddon()
    backend = tf.backend() as TorchBackend
  })
  beforeEach(() => void (before = [addon.handleStatistics(), tf.memory()]))
  afterEach(() => {
    vi.restoreAllMocks()
    expect([addon.handleStatistics(), tf.memory()]).toEqual(before)
  })

  const run = (kernel: Kernel, inputs: unknown, attrs: object = {}): Array<tf.Tensor> => {
    const made = inScope(() => kernel(inputs as never, attrs, new KernelScope(backend)))
    return [made].flat().map((info) => tf.engine().makeTensorFromTensorInfo(info))
  }
  /** The values of its outputs, and whether they came of a program. */
  const outcome = (kernel: Kernel, inputs: unknown, attrs: object = {}) => {
    const runs = vi.spyOn(addon, "programRun")
    const values = run(kernel, inputs, attrs).map((y) => [y.shape, [...y.dataSync()]])
    const isReplayed = runs.mock.calls.length === 1
    runs.mockRestore()
    return { values, isReplayed }
  }
  const tidily = (body: () => void) => tf.tidy(body)
  const scope = () => new KernelScope(backend)

  it("does again what was done: other values, by the names of the inputs and not by their order", () => {
    tidily(() => {
      const [a, b] = [tf.tensor1d([5, 7]), tf.tensor1d([1, 2])]
      const kernel = replayed({ inputs: ["a", "b"], constants: ["c"] }, difference)
      expect(outcome(kernel, { a, b }, { c: 1 })).toEqual({ values: [[[2], [5, 6]]], isReplayed: false })
      expect(outcome(kernel, { a, b }, { c: 1 })).toEqual({ values: [[[2], [5, 6]]], isReplayed: true })
      expect(outcome(kernel, { b: a, a: b }, { c: 1 })).toEqual({ values: [[[2], [-3, -4]]], isReplayed: true })
      expect(outcome(kernel, { a, b }, { c: 2 })).toEqual({ values: [[[2], [6, 7]]], isReplayed: false })
    })
  })

  it("tells shapes and strides apart, also of one memory", () => {
    tidily(() => {
      const rows = replayed({ inputs: ["a"] }, ({ a }: Named, _, scope) =>
        scope.out(add(scope.of(a), a.shape[0]!), "float32", a.shape)
      )
      const flat = tf.tensor1d([1, 2, 3, 4])
      const square = tf.reshape(flat, [2, 2])
      const turned = tf.transpose(square)
      for (const expectReplayed of [false, true]) {
        expect(outcome(rows, { a: flat })).toEqual({ values: [[[4], [5, 6, 7, 8]]], isReplayed: expectReplayed })
        expect(outcome(rows, { a: square })).toEqual({
          values: [
            [
              [2, 2],
              [3, 4, 5, 6]
            ]
          ],
          isReplayed: expectReplayed
        })
        expect(outcome(rows, { a: turned })).toEqual({
          values: [
            [
              [2, 2],
              [3, 5, 4, 6]
            ]
          ],
          isReplayed: expectReplayed
        })
      }
    })
  })

  it("learns nothing of two tensors from one that was given twice", () => {
    tidily(() => {
      const kernel = replayed({ inputs: ["a", "b"], constants: ["c"] }, difference)
      const twice = traced((_, [x, y]) => [sub(x, y)])
      const differences = (x: tf.Tensor, y: tf.Tensor) =>
        inScope(() => {
          const [made] = twice(new KernelScope(backend), [backend.handle(x), backend.handle(y)])
          return [...addon.toHost(made!, new Float32Array(1))]
        })
      const [a, b] = [tf.tensor1d([5]), tf.tensor1d([1])]
      for (let i = 0; i < 2; i++) {
        expect(outcome(kernel, { a, b: a }, { c: 0 }).values).toEqual([[[1], [0]]])
        expect(differences(a, a)).toEqual([0])
      }
      for (let i = 0; i < 2; i++) {
        expect(outcome(kernel, { a, b }, { c: 0 }).values).toEqual([[[1], [4]]])
        expect(differences(a, b)).toEqual([4])
      }
      expect(outcome(kernel, { a, b: a }, { c: 0 })).toEqual({ values: [[[1], [0]]], isReplayed: true })
    })
  })

  it("takes lists, absent tensors, kernels of the addon's own, and outputs that are inputs", () => {
    tidily(() => {
      const normed: Kernel = (inputs: ReadonlyArray<tf.Tensor>, _, scope) => {
        const [x, weight] = inputs.map((tensor) => scope.of(tensor)) as [never, never]
        const [sum, out] = [emptyOf([2, 2], FLOAT32, scope), emptyOf([2, 2], FLOAT32, scope)]
        addon.rmsNorm(x, null, weight, 0, sum, out)
        return [scope.out(out, "float32", [2, 2]), scope.share(inputs[1]!)]
      }
      const kernel = replayed({}, normed)
      const [x, weight] = [tf.tensor2d([3, 4, 6, 8], [2, 2]), tf.tensor1d([1, 2])]
      const plain = run(normed, [x, weight]).map((y) => [y.shape, [...y.dataSync()]])
      // 3 and 4 by their root mean square, √12.5
      expect(plain[0]![1]![0]).toBeCloseTo(3 / Math.sqrt(12.5), 6)
      expect(outcome(kernel, [x, weight])).toEqual({ values: plain, isReplayed: false })
      expect(outcome(kernel, [x, weight])).toEqual({ values: plain, isReplayed: true })
      const one = replayed({ inputs: ["a", "b"] }, ({ a, b }: Partial<Named>, __, scope) =>
        scope.out(add(scope.of(a!), b === undefined ? 1 : 2), "float32", a!.shape)
      )
      for (const isReplayed of [false, true]) {
        expect(outcome(one, { a: weight })).toEqual({ values: [[[2], [2, 3]]], isReplayed })
        expect(outcome(one, { a: weight, b: tf.scalar(0) })).toEqual({ values: [[[2], [3, 4]]], isReplayed })
      }
    })
  })

  it("runs as it is what depends on more than layouts", () => {
    const kernels: ReadonlyArray<Kernel> = [
      // values, what else lies in the memory, values of the host, notes about values, an input written in place
      ({ a }: Named, _, scope) => scope.out(add(scope.of(a), scope.values(a)[0]!), "float32", a.shape),
      ({ a }: Named, _, scope) => scope.out(add(scope.of(a), scope.backend.isShared(a) ? 1 : 2), "float32", a.shape),
      ({ a }: Named, _, scope) => scope.out(scope.upload(Float32Array.of(a.id), [1], FLOAT32), "float32", [1]),
      ({ a }: Named, _, scope) => scope.out(add(scope.of(a), scope.backend.isUniform(a) ? 1 : 2), "float32", a.shape),
      ({ a }: Named, _, scope) => {
        addInto(scope.of(a), 1)
        return scope.written(a)
      }
    ]
    tidily(() => {
      for (const kernel of kernels) {
        const again = replayed({ inputs: ["a"] }, kernel)
        for (let i = 0; i < 3; i++) expect(outcome(again, { a: tf.tensor1d([i]) }).isReplayed).toBe(false)
      }
    })
  })

  it("asks again whether tensors lie side by side, and runs as it is where the answer is another", () => {
    tidily(() => {
      const joined = vi.spyOn(addon, "joined")
      const kernel = replayed({ inputs: ["a", "b"] }, ({ a, b }: Named, _, scope) => {
        const [first, second] = [scope.of(a), scope.of(b)]
        const whole = addon.joined([first, second], 0)
        if (whole === null) return scope.out(sub(first, second), "float32", a.shape)
        return scope.out(add(scope.temporary(whole), 1), "float32", [a.shape[0]! + b.shape[0]!])
      })
      /** Two tensors of memory of their own, or parts of one. */
      const pair = (numbers: ReadonlyArray<number>, together: boolean): Named => {
        const [a, b] = [numbers.slice(0, 2), numbers.slice(2)].map((part) => tf.tensor1d([...part])) as [never, never]
        if (!together) return { a, b }
        const whole = inScope(() => {
          const all = scope().temporary(addon.fromHost(Float32Array.from(numbers), [4], FLOAT32, "cpu"))
          return [0, 2].map((from) => narrowOwned(all, 0, from, 2))
        })
        backend.moveCompute([a, b], whole)
        expect([backend.areJoint([a, b]), backend.areJoint([b, a]), backend.areJoint([a])]).toEqual([true, false, true])
        return { a, b }
      }
      const apart = [[[2], [-2, -2]]]
      expect(outcome(kernel, pair([1, 2, 3, 4], true))).toEqual({ values: [[[4], [2, 3, 4, 5]]], isReplayed: false })
      expect(outcome(kernel, pair([5, 6, 7, 8], true))).toEqual({ values: [[[4], [6, 7, 8, 9]]], isReplayed: true })
      const asked = joined.mock.calls.length
      expect(asked).toBe(1)
      // the program is asked, and then the kernel
      expect(outcome(kernel, pair([1, 2, 3, 4], false)).values).toEqual(apart)
      expect(joined.mock.calls.length).toBe(2)
      expect(outcome(kernel, pair([1, 2, 3, 4], true)).values).toEqual([[[4], [2, 3, 4, 5]]])
      expect(joined.mock.calls.length).toBe(2)
    })
  })

  it("does not ask again once something was written", () => {
    tidily(() => {
      const kernel = replayed({ inputs: ["a", "b"] }, ({ a, b }: Named, _, scope) => {
        const sum = add(scope.of(a), 0)
        addInto(sum, 1)
        addon.joined([scope.of(a), scope.of(b)], 0)
        return scope.out(sum, "float32", a.shape)
      })
      for (let i = 0; i < 2; i++) {
        const [a, b] = [tf.tensor1d([i]), tf.tensor1d([2])]
        expect(outcome(kernel, { a, b })).toEqual({ values: [[[1], [i + 1]]], isReplayed: false })
      }
    })
  })

  it("prepares what a kernel is to find, before it looks for what it knows", () => {
    tidily(() => {
      let prepared = 0
      const kernel = replayed(
        { inputs: ["a"], prepare: ({ a }: Named) => void (prepared += backend.hasCompanion(a) ? 0 : 1) },
        ({ a }: Named, _, scope) => scope.out(add(scope.of(a), 1), "float32", a.shape)
      )
      const a = tf.tensor1d([1])
      for (const isReplayed of [false, true]) expect(outcome(kernel, { a }).isReplayed).toBe(isReplayed)
      expect(prepared).toBe(2)
    })
  })

  it("knows a weight with a narrow copy from one without", () => {
    tidily(() => {
      const kernel = replayed({ inputs: ["a"] }, ({ a }: Named, _, scope) => {
        const copy = (scope.backend as unknown as { data: { get: (id: object) => { companion?: never } } }).data.get(
          a.dataId
        ).companion
        return scope.out(add(copy ?? scope.of(a), 0), "float32", a.shape)
      })
      const [bare, kept] = [tf.tensor1d([1]), tf.tensor1d([2])]
      backend.setCompanion(kept, addon.fromHost(Float32Array.of(9), [1], FLOAT32, "cpu"))
      for (const isReplayed of [false, true]) {
        expect(outcome(kernel, { a: bare })).toEqual({ values: [[[1], [1]]], isReplayed })
        expect(outcome(kernel, { a: kept })).toEqual({ values: [[[1], [9]]], isReplayed })
      }
      backend.setCompanion(kept, undefined)
      expect(outcome(kernel, { a: kept }).values).toEqual([[[1], [2]]])
    })
  })

  it("fails as it would have, frees what it made, and gives up what it knows when that is much", () => {
    tidily(() => {
      const kernel = replayed({ inputs: ["a", "b"], constants: ["c"] }, ({ a, b }: Named, { c }, scope) =>
        scope.out(mm(add(scope.of(a), c as number), reshape(scope.of(b), [2, -1])), "float32", [1, 1])
      )
      const [a, b] = [tf.tensor2d([1, 2], [1, 2]), tf.tensor2d([3, 4], [2, 1])]
      expect(outcome(kernel, { a, b }, { c: 0 }).values).toEqual([[[1, 1], [11]]])
      for (let i = 0; i < 2; i++) {
        expect(() => run(kernel, { a: tf.reshape(a, [2, 1]), b }, { c: 0 })).toThrow(/mm|shapes/)
      }
      const resets = vi.spyOn(addon, "programReset")
      for (let c = 0; c < 300; c++) run(kernel, { a, b }, { c })
      expect(resets.mock.calls.length).toBeGreaterThan(200)
      expect(outcome(kernel, { a, b }, { c: 299 })).toEqual({ values: [[[1, 1], [2104]]], isReplayed: true })
      let failure: unknown
      try {
        addon.programRun(resets.mock.calls[0]![0] + 100_000)
      } catch (cause) {
        failure = cause
      }
      expect(isTorchError(failure) && failure.kind).toBe("argument")
    })
  })

  it("is not asked where whole steps are recorded", () => {
    tidily(() => {
      const dependence: Dependence = { inputs: ["a", "b"], constants: ["c"] }
      const kernel = replayed(dependence, difference)
      const [a, b] = [tf.tensor1d([5]), tf.tensor1d([1])]
      for (let i = 0; i < 2; i++) run(kernel, { a, b }, { c: 0 })
      const runs = vi.spyOn(addon, "programRun")
      let sum: tf.Tensor | undefined
      const recording = backend.record(() => void ([sum] = run(kernel, { a, b }, { c: 0 }) as [tf.Tensor]))
      expect(runs).not.toHaveBeenCalled()
      recording.write(a, Float32Array.of(8))
      recording.replay()
      expect([...sum!.dataSync()]).toEqual([7])
      recording.dispose()
    })
  })
})
