import * as tf from "@tensorflow/tfjs-core"
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { type Addon, addonPath, type Handle, isTorchError, loadAddon } from "./addon.ts"
import { aten, atenAll, atenInPlace, inScope } from "./aten.ts"
import type { TorchBackend } from "./backend.ts"
import { KernelScope } from "./kernel.ts"
import { registerTorchBackend } from "./register.ts"
import { FLOAT32, FLOAT64 } from "./scalar-type.ts"
import { traced } from "./traced.ts"
import { typeOf } from "./handle-facts.ts"

const [add, mul, narrow, cat, t, mm, to] = [
  aten("add.Scalar"),
  aten("mul.Tensor"),
  aten("narrow"),
  aten("cat"),
  aten("t"),
  aten("mm"),
  aten("to.dtype")
]
const split = atenAll("split_with_sizes")
const addInto = atenInPlace("add_.Tensor")

describe.skipIf(addonPath() === undefined)("traced", () => {
  let addon: Addon
  let scope: KernelScope
  let before: unknown
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
    addon = loadAddon()
    scope = new KernelScope(tf.backend() as TorchBackend)
  })
  beforeEach(() => void (before = addon.handleStatistics()))
  afterEach(() => {
    vi.restoreAllMocks()
    expect(addon.handleStatistics()).toEqual(before)
  })

  const matrix = (rows: number, columns: number, first = 0): Handle =>
    scope.upload(
      Float32Array.from({ length: rows * columns }, (_, i) => first + i),
      [rows, columns],
      FLOAT32
    )
  const read = (handle: Handle | undefined) => [
    ...addon.toHost(handle!, new Float32Array(addon.shape(handle!).reduce((size, length) => size * length, 1)))
  ]
  /** Results of the same computation done as it is, recorded, and by its trace. */
  const thrice = (compute: Parameters<typeof traced>[0], tensors: () => ReadonlyArray<Handle | undefined>) => {
    const again = traced(compute)
    const calls = vi.spyOn(addon, "call")
    const runs = [compute, again, again].map((run) =>
      inScope(() => {
        calls.mockClear()
        const results = run(scope, tensors()).map((result) => [addon.shape(result), read(result)])
        return { results, calls: calls.mock.calls.length }
      })
    )
    return runs.map(({ calls: count, results }) => [results, count])
  }

  it("does in one crossing what was done before: views, lists, several results, absent tensors, writes", () => {
    const compute = (_: KernelScope, [x, y, none]: ReadonlyArray<Handle | undefined>) => {
      const [first, second] = split(x, [1, 2], 0) as [Handle, Handle]
      const both = cat([t(second), mul(y, y)], 1)
      addInto(both, narrow(y, 1, 0, 1))
      return none === undefined ? [both, add(first, 1)] : [none]
    }
    const [plain, recorded, replayed] = thrice(compute, () => [matrix(3, 2), matrix(2, 1, 5), undefined])
    expect(recorded).toEqual(plain)
    expect(replayed).toEqual([plain![0], 0])
    // rows 1 and 2 of [[0, 1], [2, 3], [4, 5]] as columns, 25 and 36 beside them, 5 and 6 added to each row
    expect(plain![0]).toEqual([
      [
        [2, 3],
        [7, 9, 30, 9, 11, 42]
      ],
      [
        [1, 2],
        [1, 2]
      ]
    ])
  })

  it("keeps sizes, strides, dtypes and constants apart", () => {
    const width = (handle: Handle) => addon.shape(handle)[1]!
    const scaled = traced((_, [x], factor: number, twice: boolean) => {
      const once = mul(add(x, width(x!)), to(add(x, factor), typeOf(x!)))
      return [twice ? add(once, once === x ? 0 : 1000) : once]
    })
    inScope(() => {
      const x = matrix(2, 3)
      const turned = t(matrix(3, 2))
      for (let round = 0; round < 2; round++) {
        expect(read(scaled(scope, [x], 1, false)[0])).toEqual([3, 8, 15, 24, 35, 48])
        expect(read(scaled(scope, [x], 2, false)[0])).toEqual([6, 12, 20, 30, 42, 56])
        expect(read(scaled(scope, [x], 1, true)[0])[0]).toBe(1003)
        expect(read(scaled(scope, [matrix(3, 2)], 1, false)[0])).toEqual([2, 6, 12, 20, 30, 42])
        // [[0, 2, 4], [1, 3, 5]]
        expect(read(scaled(scope, [turned], 1, false)[0])).toEqual([3, 15, 35, 8, 24, 48])
        const exact = scaled(scope, [to(x, FLOAT64)], 1, false)[0]!
        expect([typeOf(exact), read(exact)[5]]).toEqual([FLOAT64, 48])
      }
    })
  })

  it("does as it is what reads values, uploads them, asks what shares memory, or returns what it was given", () => {
    const sums = [
      ([x]: ReadonlyArray<Handle>) => [add(x, read(x)[0]!)],
      ([x]: ReadonlyArray<Handle>) => [mul(x, matrix(1, 1, 3))],
      ([x]: ReadonlyArray<Handle>) => [add(x, addon.isShared(x!) ? 100 : 0)],
      ([x]: ReadonlyArray<Handle>) => [add(x, addon.squareSum(x!))]
    ]
    for (const sum of sums) {
      const again = traced((_, tensors) => sum(tensors as ReadonlyArray<Handle>))
      for (const first of [1, 1, 7]) {
        inScope(() => {
          const x = matrix(1, 2, first)
          expect(read(again(scope, [x])[0])).toEqual(read(sum([x])[0]))
          // from here on another tensor lies in its memory
          narrow(x, 1, 0, 1)
          expect(read(again(scope, [x])[0])).toEqual(read(sum([x])[0]))
        })
      }
    }
    inScope(() => {
      const same = traced((_, [x]) => [x!])
      const x = matrix(1, 2)
      expect([same(scope, [x])[0], same(scope, [x])[0]]).toEqual([x, x])
    })
  })

  it("names operator and shapes in what libtorch refuses, recorded and again, and records nothing of it", () => {
    const product = traced((_, [x, y]) => [mm(add(x, 1), y)])
    for (let round = 0; round < 2; round++) {
      let failure: unknown
      try {
        inScope(() => product(scope, [matrix(2, 3), matrix(2, 3)]))
      } catch (cause) {
        failure = cause
      }
      expect(isTorchError(failure) && [failure.operator, failure.shapes]).toEqual([
        "aten::mm",
        "Float[2, 3], Float[2, 3]"
      ])
    }
    const inner = traced((_, [x]) => [add(x, 1)])
    const outer = traced((own, [x]) => [mul(inner(own, [x])[0], x)])
    for (let round = 0; round < 3; round++)
      expect(inScope(() => read(outer(scope, [matrix(1, 3)])[0]))).toEqual([0, 2, 6])
  })

  it("tells the garbage collector of its results as operators do", () => {
    const turned = traced((_, [x]) => [t(add(x, 1)), narrow(x, 0, 0, 1)])
    for (let round = 0; round < 3; round++) {
      inScope(() => {
        const x = matrix(2, 3)
        const { collectableBytes } = addon.handleStatistics()
        turned(scope, [x])
        expect(addon.handleStatistics().collectableBytes - collectableBytes).toBe(24)
      })
    }
  })
})
