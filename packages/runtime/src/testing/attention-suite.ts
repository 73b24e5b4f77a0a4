import { describe, expect, it } from "vitest"
import { ATTENTION } from "../kernels/names.ts"
import { attention, type AttentionOptions, composedAttention } from "../ops/attention.ts"
import type { Tensor3D } from "../tf.ts"
import { differentiableSuite } from "./differentiable-suite.ts"
import { expectClose, gradientsOf, leavesNothing, noise, wave } from "./tensors.ts"

const spans = (...rows: ReadonlyArray<readonly [start: number, length: number]>) => ({
  starts: Int32Array.from(rows, ([start]) => start),
  lengths: Int32Array.from(rows, ([, length]) => length)
})

const same = (...rows: ReadonlyArray<readonly [number, number]>) => ({ queries: spans(...rows), keys: spans(...rows) })

interface Literal {
  readonly title: string
  /** N, M, H, K, d */
  readonly sizes: readonly [number, number, number, number, number]
  readonly options: AttentionOptions
  readonly out: ReadonlyArray<number>
  readonly dq: ReadonlyArray<number>
  readonly dk: ReadonlyArray<number>
  readonly dv: ReadonlyArray<number>
}

// Computed in float64 with torch 2.13: per query and head softmax(scale·K[visible]·q)·V[visible], gradients by autograd,
// on q = wave([N, H, d], 0.1), k = wave([M, K, d], 0.5), v = wave([M, K, d], 0.9), output weights wave([N, H, d], 1.3).
const literals: ReadonlyArray<Literal> = [
  {
    title: "two packed rows, token 3 in neither",
    sizes: [5, 5, 2, 1, 2],
    options: { ...same([0, 3], [4, 1]), scale: 0.7 },
    out: [
      0.7833269, 0.9995736, 0.7833269, 0.9995736, 0.762574, 0.5260335, 0.7647024, 0.5745991, 0.2722241, 0.01833401,
      0.6326355, 0.4249443, 0, 0, 0, 0, 0.21512, 0.7936679, 0.21512, 0.7936679
    ],
    dq: [
      0, 0, 0, 0, 0.07161298, -0.06389191, 0.007995659, -0.007133594, 0.2740356, 0.6006678, 0.07155281, 0.1972227, 0, 0,
      0, 0, 0, 0, 0, 0
    ],
    dk: [-0.09770552, 0.2391339, -0.02416975, -0.08001435, 0.1218753, -0.1591196, 0, 0, 0, 0],
    dv: [1.281467, 0.6863637, -0.2465245, -0.1430205, 0.3127902, 0.4111973, 0, 0, 0.9056856, 1.486865]
  },
  {
    title: "window of 2, soft cap of 1.5, four heads on two key heads, a key of no row",
    sizes: [3, 4, 4, 2, 2],
    options: { ...same([0, 3]), scale: 1, window: 2, softCap: 1.5 },
    out: [
      0.7833269, 0.9995736, 0.7833269, 0.9995736, 0.7457052, 0.14112, 0.7457052, 0.14112, 0.07645331, -0.05074124,
      0.6008252, 0.7284017, 0.4739029, 0.04262482, -0.686894, -0.3780226, -0.2698723, -0.3425636, -0.001797202,
      0.2854781, 0.8383284, 0.6343456, -0.1563792, 0.01470669
    ],
    dq: [
      0, 0, 0, 0, 0, 0, 0, 0, 0.4159971, 1.104988, 0.08659677, 0.2461749, -0.177359, -0.1166615, -0.3170659, -0.2060998,
      -0.009748972, 0.2579067, -0.01735962, 0.5297803, 0.02246754, 0.01976879, -1.277956, -1.128735
    ],
    dk: [
      -0.268374, 0.1994496, 0.007047287, 0.1454033, 0.3685156, -0.4461739, 0.1284643, -0.4389807, -0.1527634, 0.2122836,
      -0.1238471, 0.3176454, 0, 0, 0, 0
    ],
    dv: [
      2.434794, 1.455489, -1.893545, -1.871599, 0.6766083, 1.224312, -1.365967, -1.348867, 0.6658332, 0.8408579,
      0.0289806, -0.6607019, 0, 0, 0, 0
    ]
  },
  {
    title: "two queries after two cached keys",
    sizes: [2, 5, 1, 1, 2],
    options: { queries: spans([0, 2]), keys: spans([1, 4]), scale: 0.7 },
    out: [0.03269554, -0.2756097, 0.3382608, 0.1256015],
    dq: [0.5750855, 0.4907857, 0.08990092, 0.03571045],
    dk: [0, 0, 0.1043543, 0.328647, -0.02867129, -0.1526637, -0.03672059, -0.1444033, -0.03896237, -0.03158004],
    dv: [0, 0, 0.7328551, 0.3252292, 0.2955085, 0.1963794, 0.255799, 0.1959914, 0.1067756, -0.06384378]
  }
]

const sized = (
  [queries, keys, heads, keyHeads, width]: readonly [number, number, number, number, number],
  name: string
) => [
  noise<Tensor3D>([queries, heads, width], `${name} q`),
  noise<Tensor3D>([keys, keyHeads, width], `${name} k`),
  noise<Tensor3D>([keys, keyHeads, width], `${name} v`)
]

const attentionCase = (
  title: string,
  sizes: readonly [number, number, number, number, number],
  options: AttentionOptions,
  small = false
) => ({
  title: `attention: ${title}`,
  kernel: ATTENTION,
  inputs: () => sized(sizes, title),
  op: (q: Tensor3D, k: Tensor3D, v: Tensor3D) => attention(q, k, v, options),
  composed: (q: Tensor3D, k: Tensor3D, v: Tensor3D) => composedAttention(q, k, v, options),
  small
})

export const attentionSuite = (): void => {
  differentiableSuite([
    attentionCase(
      "packed rows, one of length 1",
      [6, 6, 2, 1, 3],
      { ...same([0, 3], [3, 1], [5, 1]), scale: 0.6 },
      true
    ),
    attentionCase("window and soft cap", [5, 5, 2, 2, 2], { ...same([0, 5]), scale: 1, window: 3, softCap: 2 }, true),
    attentionCase("keys of a cache", [3, 9, 4, 2, 4], {
      queries: spans([0, 1], [1, 2]),
      keys: spans([0, 5], [6, 3]),
      scale: 0.5
    }),
    // More queries than one block of scores holds, no length a multiple of four, six or eight.
    attentionCase("long odd rows", [232, 232, 6, 2, 10], { ...same([0, 131], [133, 99]), scale: 0.3 }),
    attentionCase("long odd row, window", [131, 131, 2, 1, 7], {
      ...same([0, 131]),
      scale: 0.3,
      window: 50,
      softCap: 5
    })
  ])

  describe.each(literals)("attention: $title", ({ dk, dq, dv, options, out, sizes }) => {
    it("has the values and gradients of torch", () => {
      leavesNothing(() => {
        const [queries, keys, heads, keyHeads, width] = sizes
        const inputs = [
          wave<Tensor3D>([queries, heads, width], 0.1),
          wave<Tensor3D>([keys, keyHeads, width], 0.5),
          wave<Tensor3D>([keys, keyHeads, width], 0.9)
        ] as const
        const op = (q: Tensor3D, k: Tensor3D, v: Tensor3D) => attention(q, k, v, options)
        expectClose(op(...inputs), out)
        const gradients = gradientsOf(op, inputs, wave([queries, heads, width], 1.3))
        for (const [i, expected] of [dq, dk, dv].entries()) expectClose(gradients[i]!, expected)
      })
    })
  })

  it("attention of no tokens is of no tokens", () => {
    leavesNothing(() => {
      for (const rows of [spans(), spans([0, 0])]) {
        const [q, k, v] = sized([0, 0, 4, 2, 3], "none") as [Tensor3D, Tensor3D, Tensor3D]
        const out = attention(q, k, v, { queries: rows, keys: rows, scale: 1 })
        expect([out.shape, out.dtype, [...out.dataSync()]]).toEqual([[0, 4, 3], "float32", []])
      }
    })
  })

  describe("attention: rows that cannot be", () => {
    const run = (options: AttentionOptions) => () =>
      attention(...(sized([4, 4, 2, 1, 2], "bad") as never as Triple), options)
    type Triple = [Tensor3D, Tensor3D, Tensor3D]

    it.each([
      ["more queries than keys", { queries: spans([0, 3]), keys: spans([0, 2]) }, "row 0 has 3 queries but 2 keys"],
      ["rows that overlap", same([0, 3], [2, 2]), "row 1 overlaps the row before it"],
      ["queries beyond the tokens", same([2, 3]), "rows end at token 5 of 4 queries"],
      ["keys beyond the tokens", { queries: spans([0, 2]), keys: spans([2, 3]) }, "rows end at token 5 of 4 keys"]
    ])("refuses %s", (_, rows, message) => {
      expect(run({ ...rows, scale: 1 })).toThrow(message)
    })
  })
}
