import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { FEW_TOKENS } from "../backend.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { replayed } from "../replayed.ts"
import { BFLOAT16 } from "../scalar-type.ts"
import { launch } from "./cuda/kernels.ts"
import { shapeOf } from "./cuda/launches.ts"
import { TILE_THREADS } from "./cuda/tile-product.ts"
import { joinWeights } from "./linears.ts"
import { gatedFewRows, product } from "./product.ts"
import type { GateFunction } from "./elementwise.ts"
import { cast, dense, emptyOf } from "./storage.ts"

// A gated MLP whose activation is made of the sums of the products before and behind it, before these go to memory: gate and up,
// and the gradient of what the activation gave, are never read. `TorchBackend.fusesGatedMlp` says for which calls.

const narrow = aten("narrow")

/** As copy engines read it: bfloat16 in memory order. */
const rowsOf = (x: TensorInfo, scope: KernelScope): Handle => cast(dense(x, scope), BFLOAT16)

interface Gated {
  readonly activation: GateFunction
  readonly withSlopes: boolean
}

/** Blocks go two by two, as many as there is room for. */
const blocksOf = ({ backend }: KernelScope): number => Math.floor(backend.cuda!.multiprocessors / 2) * 2

/** act(x·gateᵀ)·(x·upᵀ) and, where they are wanted, the slopes. */
const gatedProduct = (
  [x, gate, up]: readonly [Handle, Handle, Handle],
  { activation: name, withSlopes }: Gated,
  scope: KernelScope
): readonly [Handle, Handle | undefined] => {
  const [[rows, depth], [width]] = [shapeOf(x, scope), shapeOf(gate, scope)] as [[number, number], [number, number]]
  if (rows <= FEW_TOKENS && !withSlopes) return [gatedFewRows(x, [gate, up], name, scope), undefined]
  const out = emptyOf([rows, width], BFLOAT16, scope)
  const slopes = withSlopes ? emptyOf([rows, 2 * width], BFLOAT16, scope) : undefined
  const macros = { T: "bf16", W: 8, ACROSS: 0, PAIR: `${name}Pair`, WITH_SLOPES: withSlopes ? 1 : 0 }
  const args = [[x, 128], [gate, 128], [up, 128], [out, 64], [slopes ?? out, 64], rows, width, depth] as const
  launch("gatedProduct", { blocks: blocksOf(scope), threads: TILE_THREADS, macros, args }, scope)
  return [out, slopes]
}

type Inputs = Record<"x" | "gate" | "up" | "down", TensorInfo>

/** {x [N, D], gate, up [F, D], down [D, F]} → [N, D] and, withSlopes, the slopes [N, 2F] and what `down` read [N, F] */
export const gatedMlp: Kernel = replayed(
  {
    inputs: ["x", "gate", "up", "down"],
    constants: ["activation", "withSlopes"],
    prepare: ({ down, gate, up, x }: Inputs, scope) => {
      joinWeights([gate, up], x, scope)
      scope.backend.compute(down)
    }
  },
  ({ down, gate, up, x }: Inputs, attrs: Gated, scope) => {
    // as the same layers have them elsewhere, who would move them otherwise from where what is recorded reads them
    joinWeights([gate, up], x, scope)
    const rows = rowsOf(x, scope)
    const [gated, slopes] = gatedProduct([rows, scope.backend.compute(gate), scope.backend.compute(up)], attrs, scope)
    const y = product(gated, scope.backend.compute(down), scope)
    const [tokens, width] = [x.shape[0]!, gate.shape[0]!]
    const kept =
      slopes === undefined
        ? []
        : [scope.out(slopes, "float32", [tokens, 2 * width]), scope.out(gated, "float32", [tokens, width])]
    return [scope.out(y, "float32", [tokens, down.shape[0]!]), ...kept]
  }
)

type GradientInputs = Record<"dy" | "down" | "slopes", TensorInfo>

/** {dy [N, D], down [D, F], slopes [N, 2F]} → [dgate, dup], columns of one matrix */
export const gatedMlpGradient: Kernel = replayed(
  {
    inputs: ["dy", "down", "slopes"],
    prepare: ({ down }: GradientInputs, scope) => void scope.backend.compute(down)
  },
  ({ down, dy, slopes }: GradientInputs, _, scope) => {
    const [slope, weight] = [rowsOf(dy, scope), scope.backend.compute(down)]
    const [rows, width] = [dy.shape[0]!, down.shape[1]!]
    const both = emptyOf([rows, 2 * width], BFLOAT16, scope)
    const args = [[slope, 128], [weight, 64], [scope.of(slopes), 128], [both, 64], rows, width, down.shape[0]!] as const
    launch(
      "gatedSlopes",
      { blocks: blocksOf(scope), threads: TILE_THREADS, macros: { T: "bf16", W: 8, ACROSS: 1 }, args },
      scope
    )
    return [0, width].map((first) => scope.out(narrow(both, 1, first, width), "float32", [rows, width]))
  }
)
