import { beforeAll, describe, expect, it } from "vitest"
import { addonPath, type Handle } from "../addon.ts"
import { aten, inScope } from "../aten.ts"
import { TorchBackend } from "../backend.ts"
import { KernelScope } from "../kernel.ts"
import { BFLOAT16, FLOAT32, INT32 } from "../scalar-type.ts"
import { composedTop } from "./top-log-probs.ts"

const [rows, width] = [6, 5003]

/** Logits of which many are equal: the rows have from one value to many. */
const logits = Float32Array.from({ length: rows * width }, (_, i) => {
  const wave = Math.sin((i % width) * 12.9898 + Math.floor(i / width))
  return Math.round(wave * 2 ** (2 * Math.floor(i / width))) / 8 + 0
})

describe.skipIf(addonPath() === undefined)("the most likely tokens by libtorch's operators", () => {
  let scope: KernelScope
  beforeAll(() => {
    scope = new KernelScope(new TorchBackend({ device: "cpu" }))
  })

  const numbers = <A extends Float32Array | Int32Array>(handle: Handle, into: A): A =>
    scope.backend.addon.toHost(handle, into) as A

  it.each([1, 5, 33, 100])("are those that our kernel finds, %i of a row", (count) => {
    const { addon } = scope.backend
    const targets = Int32Array.from({ length: rows }, (_, row) => 700 * row)
    inScope(() => {
      const given = scope.upload(logits, [rows, width], FLOAT32)
      const [ids, logProbs, ofTargets] = composedTop(given, { rows: targets, targets, count }, scope)
      const own = [
        scope.upload(new Int32Array(rows * count), [rows, count], INT32),
        scope.upload(new Float32Array(rows * count), [rows, count], FLOAT32),
        scope.upload(new Float32Array(rows), [rows], FLOAT32)
      ] as const
      const every = Int32Array.from({ length: rows }, (_, row) => row)
      addon.topLogProbs(given, scope.upload(every, [rows], INT32), scope.upload(targets, [rows], INT32), ...own)
      const place = () => new Int32Array(rows * count)
      expect(numbers(ids!, place())).toEqual(numbers(own[0], place()))
      const within = (a: Float32Array, b: Float32Array) =>
        a.forEach((x, i) => expect(Math.abs(x - b[i]!)).toBeLessThanOrEqual(1e-5))
      within(numbers(logProbs!, new Float32Array(rows * count)), numbers(own[1], new Float32Array(rows * count)))
      within(numbers(ofTargets!, new Float32Array(rows)), numbers(own[2], new Float32Array(rows)))
    })
  })

  it("are the same where logits are stored in bfloat16", () => {
    inScope(() => {
      const ranked = { rows: new Int32Array(rows), targets: new Int32Array(rows), count: 20 }
      const narrow = aten("to.dtype")(scope.upload(logits, [rows, width], FLOAT32), BFLOAT16)
      const wide = aten("to.dtype")(narrow, FLOAT32)
      const [a, b] = [narrow, wide].map((given) => composedTop(given, ranked, scope)) as [Array<Handle>, Array<Handle>]
      expect(numbers(a[0]!, new Int32Array(rows * 20))).toEqual(numbers(b[0]!, new Int32Array(rows * 20)))
      expect(numbers(a[1]!, new Float32Array(rows * 20))).toEqual(numbers(b[1]!, new Float32Array(rows * 20)))
    })
  })
})
