import { ADD_RMS_NORM, GROUPED_LINEARS, LINEARS, ROTARY_HEADS } from "../kernels/names.ts"
import { groupedLinears } from "../ops/grouped-linears.ts"
import { composedLinear, linears } from "../ops/linear.ts"
import { addRmsNorm, composedRmsNorm } from "../ops/norms.ts"
import { composedRotary, rotaryAngles, rotaryHeads } from "../ops/rotary.ts"
import { tf, type Tensor1D, type Tensor2D, type Tensor3D } from "../tf.ts"
import { type DifferentiableCase, differentiableSuite } from "./differentiable-suite.ts"
import { beside, noise } from "./tensors.ts"

// Operations with several results, which are laid side by side here.

const linearsCases = [
  { rows: 3, width: 4, outputs: [5, 2, 2], small: true },
  { rows: 65, width: 33, outputs: [64, 17], small: false }
].map(({ outputs, rows, small, width }): DifferentiableCase => ({
  title: `linears [${rows}, ${width}] → ${outputs.join(", ")}`,
  kernel: LINEARS,
  inputs: () => [
    noise([rows, width], "x"),
    ...outputs.map((size, i) => tf.div(noise([size, width], `weight ${i}`), Math.sqrt(width)))
  ],
  op: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) =>
    beside(
      linears(
        x,
        weights.map((weight) => [weight, undefined])
      )
    ),
  composed: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) =>
    beside(weights.map((weight) => composedLinear(x, weight))),
  leaves: outputs.length + 1,
  small
}))

const groupedCases = [
  { counts: [2, 0, 1], width: 4, outputs: [3], small: true },
  { counts: [0, 33, 1, 31], width: 24, outputs: [16, 40], small: false }
].map(({ counts, outputs, small, width }): DifferentiableCase => ({
  title: `groupedLinears [${counts.join(" + ")}, ${width}] → ${outputs.join(", ")}`,
  kernel: GROUPED_LINEARS,
  inputs: () => [
    noise([counts.reduce((sum, count) => sum + count, 0), width], "x"),
    ...counts.flatMap((_, g) =>
      outputs.map((size, p) => tf.div(noise([size, width], `weight ${g} ${p}`), Math.sqrt(width)))
    )
  ],
  op: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) =>
    beside(
      groupedLinears(
        x,
        { counts },
        counts.map((_, g) => outputs.map((__, p) => [weights[g * outputs.length + p]!, undefined]))
      )
    ),
  composed: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) => {
    const parts = tf.split(x, counts) as ReadonlyArray<Tensor2D>
    const output = (p: number) =>
      tf.concat(parts.map((part, g) => composedLinear(part, weights[g * outputs.length + p]!))) as Tensor2D
    return beside(outputs.map((_, p) => output(p)))
  },
  leaves: outputs.length + 1,
  small
}))

const addNormCases = [
  [3, 5],
  [67, 64]
].map(([rows, width]): DifferentiableCase => ({
  title: `addRmsNorm [${rows}, ${width}]`,
  kernel: ADD_RMS_NORM,
  inputs: () => [noise([rows!, width!], "x"), noise([rows!, width!], "addend"), noise([width!], "weight")],
  op: (x: Tensor2D, addend: Tensor2D, weight: Tensor1D) => {
    const { normed, sum } = addRmsNorm(x, addend, weight, 1e-5)
    return beside([sum, normed])
  },
  composed: (x: Tensor2D, addend: Tensor2D, weight: Tensor1D) => {
    const sum = tf.add(x, addend) as Tensor2D
    return beside([sum, composedRmsNorm(sum, weight, 1e-5)])
  },
  leaves: 3,
  small: width === 5
}))

const rotaryCases = [
  { tokens: 3, heads: 2, keyHeads: 1, width: 8, half: 3 },
  { tokens: 5, heads: 6, keyHeads: 2, width: 16, half: 8 }
].map(({ half, heads, keyHeads, tokens, width }): DifferentiableCase => {
  const angles = () =>
    rotaryAngles(
      Int32Array.from({ length: tokens }, (_, i) => 3 * i + 1),
      Float32Array.from({ length: half }, (_, i) => 2 ** -i)
    )
  return {
    title: `rotaryHeads of ${heads} and ${keyHeads}, ${2 * half} of ${width} dimensions`,
    kernel: ROTARY_HEADS,
    inputs: () => [
      noise([tokens, heads, width], "q"),
      noise([tokens, keyHeads, width], "k"),
      noise([tokens, keyHeads, width], "v")
    ],
    // where a backend has no kernel, the values are the ones that were given
    op: (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      tf.tidy(() => {
        const rotated = rotaryHeads({ q, k, v }, angles())
        return beside([rotated.q, rotated.k, rotated.v])
      }),
    composed: (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      beside([composedRotary(q, angles()), composedRotary(k, angles()), v]),
    small: tokens === 3
  }
})

/** What the blocks of a decoder fuse. */
export const blockSuite = (): void =>
  differentiableSuite([...linearsCases, ...groupedCases, ...addNormCases, ...rotaryCases])
