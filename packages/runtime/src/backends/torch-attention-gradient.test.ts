import { hasCuda } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime, type ModelRuntimeShape } from "../model-runtime.ts"
import { attention, type AttentionOptions, composedAttention, rotaryAttention } from "../ops/attention.ts"
import { composedRotary, rotaryAngles } from "../ops/rotary.ts"
import { distance, gradientsOf, leavesNothing, noise, norm, type Op, representable } from "../testing/tensors.ts"
import { tf, type Tensor, type Tensor3D } from "../tf.ts"

const HEAD = 64

/** Random numbers that bfloat16 holds. */
const narrowNoise = (shape: ReadonlyArray<number>, name: string): Tensor =>
  tf.tensor(representable(noise(shape, name).dataSync() as Float32Array), [...shape])

const rowsOf = (lengths: ReadonlyArray<number>) => {
  const starts = lengths.map((_, row) => lengths.slice(0, row).reduce((sum, length) => sum + length, 0))
  return { starts: Int32Array.from(starts), lengths: Int32Array.from(lengths) }
}

const total = (lengths: ReadonlyArray<number>) => lengths.reduce((sum, length) => sum + length, 0)

type Case = readonly [title: string, lengths: ReadonlyArray<number>, heads: number, keyHeads: number]

/** Lengths of rows, heads, heads of keys. */
const cases: ReadonlyArray<Case> = [
  ["whole blocks of keys", [256, 256], 2, 2],
  ["half a block", [64], 3, 1],
  ["odd ends", [333, 333, 333], 8, 2],
  ["a long row", [1401], 4, 1],
  ["rows of different lengths", [130, 1, 64, 700, 65, 3, 128, 129], 8, 2],
  ["different lengths, one of them none", [5, 0, 191], 6, 6],
  ["longer than others by one", [127, 128], 4, 4]
]

/** Rows so short that blocks would be next to empty. */
const shortCases: ReadonlyArray<Case> = [
  ["rows of two", [2, 2, 2, 2, 2], 4, 2],
  ["rows of one", [1, 1, 1], 4, 2],
  ["one token", [1], 2, 1],
  ["many short ones and a longer one", [...Array.from({ length: 20 }, (_, row) => 1 + (row % 7)), 150], 4, 2]
]

/** Rows that the kernels are not for: tokens between rows, keys of a cache, a window, scores held down. */
const others: ReadonlyArray<readonly [title: string, options: Omit<AttentionOptions, "scale">]> = (() => {
  const rows = rowsOf([100, 100])
  const apart = { starts: Int32Array.of(0, 100), lengths: Int32Array.of(90, 100) }
  return [
    ["tokens between rows", { queries: apart, keys: apart }],
    ["a window", { queries: rows, keys: rows, window: 17 }],
    ["held down", { queries: rows, keys: rows, softCap: 3 }]
  ]
})()

const inputsOf = (tokens: number, heads: number, keyHeads: number): ReadonlyArray<Tensor> =>
  [heads, keyHeads, keyHeads].map((count, i) => narrowNoise([tokens, count, HEAD], `heads ${i}`))

/** Of the gradients of q, k and v: how far each is from what the composition in float32 has. */
const distances = (tokens: number, heads: number, keyHeads: number, options: AttentionOptions) => {
  const inputs = inputsOf(tokens, heads, keyHeads)
  const dy = narrowNoise([tokens, heads, HEAD], "slopes")
  const of =
    (attend: typeof attention): Op =>
    (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      attend(q, k, v, options)
  const [seen, wanted] = [attention, composedAttention].map((attend) => gradientsOf(of(attend), inputs, dy))
  return seen!.map((gradient, i) => {
    const [found, exact] = [gradient.dataSync(), wanted![i]!.dataSync()]
    // one key alone has no say in where it is looked for
    return norm(exact.map((value, j) => found[j]! - value)) / Math.max(norm(exact), 1e-2 * Math.sqrt(exact.length))
  })
}

/** The same of what is turned by its tokens' angles first, of so many of its dimensions. */
const turnedDistances = (
  lengths: ReadonlyArray<number>,
  [heads, keyHeads]: readonly [number, number],
  turned: number
) => {
  const rows = rowsOf(lengths)
  const options = { queries: rows, keys: rows, scale: 0.125 }
  const positions = Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i)))
  const angles = rotaryAngles(
    positions,
    Float32Array.from({ length: turned / 2 }, (_, i) => 100 ** (-i / turned))
  )
  const inputs = inputsOf(total(lengths), heads, keyHeads)
  const dy = narrowNoise([total(lengths), heads, HEAD], "slopes")
  const fused: Op = (q: Tensor3D, k: Tensor3D, v: Tensor3D) => rotaryAttention({ q, k, v }, angles, options)
  const composed: Op = (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
    composedAttention(composedRotary(q, angles), composedRotary(k, angles), v, options)
  const [seen, wanted] = [fused, composed].map((op) => [
    op(...(inputs as unknown as Array<never>)),
    ...gradientsOf(op, inputs, dy)
  ])
  return seen!.map((values, i) => distance(values.dataSync(), wanted![i]!.dataSync()))
}

const layer = (deterministic: boolean) =>
  ModelRuntime.layerTorch({ device: "cuda", precision: "bfloat16", batchInvariant: false, deterministic })

describe.skipIf(!hasCuda())("attention's gradient by a kernel of its own, on CUDA", () => {
  let runtime: ModelRuntimeShape

  beforeAll(async () => {
    runtime = await Effect.runPromise(Effect.provide(ModelRuntime, layer(false)))
    await tf.setBackend("torch")
  })

  it.each(cases)("is what the composition has: %s", (_, lengths, heads, keyHeads) => {
    leavesNothing(() => {
      const rows = rowsOf(lengths)
      const options = { queries: rows, keys: rows, scale: 0.125 }
      for (const far of distances(total(lengths), heads, keyHeads, options)) expect(far).toBeLessThan(6e-3)
    })
  })

  it.each([
    [[200, 200], [4, 2], HEAD],
    [[77, 300, 1, 128], [8, 2], HEAD],
    [[513], [2, 2], HEAD],
    [[200, 200], [4, 2], 48],
    [[77, 300], [4, 1], 16]
  ] as const)(
    "is that of heads before they were turned: rows of %j, heads %j, %d dimensions turned",
    (lengths, heads, turned) => {
      leavesNothing(() => {
        for (const far of turnedDistances(lengths, heads, turned)) expect(far).toBeLessThan(8e-3)
      })
    }
  )

  it.each(shortCases)("is another's where blocks would be next to empty: %s", (_, lengths, heads, keyHeads) => {
    leavesNothing(() => {
      const rows = rowsOf(lengths)
      const options = { queries: rows, keys: rows, scale: 0.125 }
      for (const far of distances(total(lengths), heads, keyHeads, options)) expect(far).toBeLessThan(2e-2)
    })
  })

  it.each(others)("is another's where the kernel does not fit: %s", (_, options) => {
    leavesNothing(() => {
      for (const far of distances(200, 4, 2, { ...options, scale: 0.125 })) expect(far).toBeLessThan(1e-2)
    })
  })

  it("takes three launches, recorded or not, where the device has what it takes", ({ skip }) => {
    skip(!(tf.backend() as unknown as { readonly copiesBoxes: boolean }).copiesBoxes, "no such tensor cores")
    leavesNothing(() => {
      const launched = (lengths: ReadonlyArray<number>, softCap?: number) => {
        const rows = rowsOf(lengths)
        const inputs = inputsOf(total(lengths), 4, 2)
        const dy = tf.ones([total(lengths), 4, HEAD])
        const before = runtime.calls!().kernels
        gradientsOf(
          (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
            attention(q, k, v, { queries: rows, keys: rows, scale: 0.125, softCap }),
          inputs,
          dy
        )
        return runtime.calls!().kernels - before
      }
      for (const lengths of [
        [100, 100],
        [40, 100]
      ]) {
        const without = launched(lengths, 5)
        for (let turn = 0; turn < 3; turn++) expect(launched(lengths) - without).toBe(3)
      }
    })
  })

  it("leaves NaN where it is", () => {
    leavesNothing(() => {
      const rows = rowsOf([70, 70])
      const [q, k, v] = inputsOf(140, 2, 1) as [Tensor3D, Tensor3D, Tensor3D]
      const values = q.dataSync().slice()
      values[100 * 2 * HEAD] = Number.NaN
      const broken = tf.tensor3d(values as Float32Array, q.shape)
      const op: Op = (x: Tensor3D, y: Tensor3D, z: Tensor3D) =>
        attention(x, y, z, { queries: rows, keys: rows, scale: 0.125 })
      const [dq] = gradientsOf(op, [broken, k, v], tf.ones([140, 2, HEAD]))
      const seen = dq!.dataSync()
      expect(seen.slice(0, 70 * 2 * HEAD).every(Number.isFinite)).toBe(true)
      expect(Number.isNaN(seen[100 * 2 * HEAD]!)).toBe(true)
    })
  })
})
