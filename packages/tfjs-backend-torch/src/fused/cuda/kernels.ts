import type { CudaKernel, Handle, KernelArgument } from "../../addon.ts"
import type { KernelScope } from "../../kernel.ts"
import { BFLOAT16, FLOAT32 } from "../../scalar-type.ts"
import { ATTENTION_GRADIENT, ATTENTION_SHARED_BYTES } from "./attention-gradient.ts"
import { ATTENTION_QUERIES, ATTENTION_STATISTICS } from "./attention-tiles.ts"
import { GATED, GATED_GRADIENT, SCALE_ROWS } from "./elementwise.ts"
import {
  CHOOSE_EXPERTS,
  CHOOSE_EXPERTS_GRADIENT,
  CLEAR_GROUPS,
  COLLECT_ROWS,
  COLLECT_ROWS_GRADIENT,
  DISPATCH_ROWS,
  EXPERT_ORDER
} from "./experts.ts"
import { FEW_ROWS } from "./few-rows.ts"
import { GATED_PRODUCT, GATED_SLOPES } from "./gated-product.ts"
import { HELD_LOGITS } from "./held-logits.ts"
import { ALLOW_LOGITS, EDIT_LOGITS } from "./logit-edits.ts"
import { LOGIT_SLOPES, LOGIT_STATISTICS } from "./logits.ts"
import { UNFOLD_NF4 } from "./nf4.ts"
import { ADAMW, ROOT, SQUARES } from "./optimizer.ts"
import { PAGED_DECODE, PAGED_MERGE } from "./paged-attention.ts"
import { PAGED_HALF } from "./paged-attention-half.ts"
import { PRELUDE } from "./prelude.ts"
import { COLUMN_SUMS, RMS_NORM, RMS_NORM_GRADIENT } from "./rms-norm.ts"
import { CACHE_HEADS, ROTARY, ROTARY_HEADS } from "./rotary.ts"
import { ROW_SUMS } from "./row-sums.ts"
import { SAMPLE_TOKENS } from "./sampling.ts"
import { THIN_PRODUCT } from "./thin-product.ts"
import { TILE_SHARED_BYTES } from "./tile-product.ts"
import { typeOf } from "../../handle-facts.ts"

export type Macros = Readonly<Record<string, string | number>>

interface Source {
  readonly text: string
  /** See Addon.kernelCompile. */
  readonly signature: string
  /** Of shared memory that it is given beside what it declares; 0 when absent. */
  readonly sharedBytes?: number | ((macros: Macros) => number)
}

/** The kernels by the names of their functions. All call `awaitOthers` before they touch what another may write. */
export const SOURCES = {
  adamw: { text: ADAMW, signature: "(ppppplffi)iffffff" },
  allowLogits: { text: ALLOW_LOGITS, signature: "ppppi" },
  attentionGradient: { text: ATTENTION_GRADIENT, signature: "ttttpppppssiiiiiif", sharedBytes: ATTENTION_SHARED_BYTES },
  attentionQueries: { text: ATTENTION_QUERIES, signature: "ppppsiiiif" },
  attentionStatistics: { text: ATTENTION_STATISTICS, signature: "ppppppiiii" },
  cacheHeads: { text: CACHE_HEADS, signature: "ssspppppppliiiiiii" },
  chooseExperts: { text: CHOOSE_EXPERTS, signature: "pppiiii" },
  chooseExpertsGradient: { text: CHOOSE_EXPERTS_GRADIENT, signature: "pppppiiii" },
  clearGroups: { text: CLEAR_GROUPS, signature: "ppli" },
  collectRows: { text: COLLECT_ROWS, signature: "pppplii" },
  collectRowsGradient: { text: COLLECT_ROWS_GRADIENT, signature: "ppppppii" },
  columnSums: { text: COLUMN_SUMS, signature: "ppii" },
  dispatchRows: { text: DISPATCH_ROWS, signature: "ppplii" },
  editLogits: { text: EDIT_LOGITS, signature: "ppppi" },
  expertOrder: { text: EXPERT_ORDER, signature: "ppppi" },
  fewRows: { text: FEW_ROWS, signature: "ppppii" },
  gated: { text: GATED, signature: "sspliii" },
  gatedGradient: { text: GATED_GRADIENT, signature: "ssppliii" },
  gatedProduct: { text: GATED_PRODUCT, signature: "tttttiii", sharedBytes: TILE_SHARED_BYTES },
  gatedSlopes: { text: GATED_SLOPES, signature: "ttttiii", sharedBytes: TILE_SHARED_BYTES },
  heldLogits: { text: HELD_LOGITS, signature: "spppppiiff", sharedBytes: ({ ROOM }) => Number(ROOM) },
  logitSlopes: { text: LOGIT_SLOPES, signature: "spppiiff" },
  logitStatistics: { text: LOGIT_STATISTICS, signature: "spppppiiff" },
  pagedDecode: { text: PAGED_DECODE, signature: "pppppppiiiiiiff" },
  pagedHalf: { text: PAGED_HALF, signature: "pppppppppiiiiiilff" },
  pagedMerge: { text: PAGED_MERGE, signature: "pppppiiiil" },
  rmsNorm: { text: RMS_NORM, signature: "pppppif" },
  rmsNormGradient: { text: RMS_NORM_GRADIENT, signature: "ppppppiif" },
  root: { text: ROOT, signature: "ppi" },
  rotate: { text: ROTARY, signature: "ppppliiif" },
  rotateHeads: { text: ROTARY_HEADS, signature: "sssppsssliiiiifiiiiii" },
  rowSums: { text: ROW_SUMS, signature: "ppppi" },
  sampleTokens: { text: SAMPLE_TOKENS, signature: "ppppppi" },
  scaleRows: { text: SCALE_ROWS, signature: "pppli" },
  squares: { text: SQUARES, signature: "(pli)ipi" },
  thinProduct: { text: THIN_PRODUCT, signature: "ppppiii" },
  unfoldNf4: { text: UNFOLD_NF4, signature: "ppppfl" }
} as const satisfies Record<string, Source>

/** What is compiled. */
export const sourceOf = (name: keyof typeof SOURCES, macros: Macros): string => {
  const defines = Object.entries(macros).map(([macro, value]) => `#define ${macro} ${value}`)
  return [...defines, PRELUDE, SOURCES[name].text].join("\n")
}

const compiled = new Map<string, CudaKernel>()

const kernelOf = (name: keyof typeof SOURCES, macros: Macros, scope: KernelScope): CudaKernel => {
  let key = `${scope.backend.device}/${name}`
  for (const macro in macros) key += `/${macro}=${macros[macro]}`
  const known = compiled.get(key)
  if (known !== undefined) return known
  const { capability } = scope.backend.cuda!
  const early = capability >= 90
  const { sharedBytes = 0, signature }: Source = SOURCES[name]
  const room = typeof sharedBytes === "number" ? sharedBytes : sharedBytes(macros)
  const made = scope.backend.cuda!.addon.kernelCompile(sourceOf(name, macros), name, signature, early, room)
  compiled.set(key, made)
  return made
}

export interface Launch {
  readonly blocks: number
  readonly threads: number
  readonly macros: Macros
  readonly args: ReadonlyArray<KernelArgument>
}

export const launch = (
  name: keyof typeof SOURCES,
  { args, blocks, macros, threads }: Launch,
  scope: KernelScope
): void => scope.backend.cuda!.addon.kernelLaunch(kernelOf(name, macros, scope), blocks, threads, ...args)

/** Items of one launch: of 64 bytes they leave room for other arguments. */
const MOST_ITEMS = 60

/** What a kernel over many tensors is told of one. */
interface Item {
  readonly macros: Macros
  readonly blocks: number
  /** All but the last, which is where its blocks end. */
  readonly members: ReadonlyArray<number>
}

/**
 * One kernel over many tensors, in as few launches as their storage and the room for arguments allow. Its first arguments
 * are the items and their number; those that follow may depend on how many blocks there were in launches before.
 *
 * @returns launches it, with those that follow
 */
export const prepareEach = (
  name: keyof typeof SOURCES,
  threads: number,
  items: ReadonlyArray<Item>,
  scope: KernelScope
): ((args: (blocksBefore: number) => ReadonlyArray<Handle | number>) => void) => {
  const launches = parts(items).map(({ macros, part }) => {
    let end = 0
    const rows = part.flatMap(({ blocks, members }) => [...members, (end += blocks)])
    return { blocks: end, macros: { ...macros, MOST_ITEMS }, given: [Float64Array.from(rows), part.length] }
  })
  return (args) => {
    let before = 0
    for (const { blocks, given, macros } of launches) {
      launch(name, { blocks, threads, macros, args: [...given, ...args(before)] }, scope)
      before += blocks
    }
  }
}

/** Those of the same macros, as many as one launch takes. */
const parts = (items: ReadonlyArray<Item>) => {
  const open = new Map<string, Array<Item>>()
  const all: Array<{ readonly macros: Macros; readonly part: Array<Item> }> = []
  for (const item of items) {
    const key = Object.values(item.macros).join()
    let part = open.get(key)
    if (part === undefined || part.length === MOST_ITEMS) {
      part = []
      open.set(key, part)
      all.push({ macros: item.macros, part })
    }
    part.push(item)
  }
  return all
}

export const THREADS = 128

/** Threads and blocks for `packs` independent packs, one a thread: on an H200 faster than threads that walk on. */
export const spread = (packs: number) => ({ threads: THREADS, blocks: Math.ceil(packs / THREADS) })

/** The macro T; undefined for storage that the kernels do not read. */
export const storageMacro = (scalarType: number): string | undefined =>
  scalarType === FLOAT32 ? "float" : scalarType === BFLOAT16 ? "bf16" : undefined

/** 8 numbers at a time where each of `lengths` allows it. */
export const packWidth = (...lengths: ReadonlyArray<number>): 1 | 8 => (lengths.every((l) => l % 8 === 0) ? 8 : 1)

/** The storage (macro T) that all handles have in common, where our CUDA kernels read it; undefined where ATen has to do. */
export const cudaStorage = (handles: ReadonlyArray<Handle>, { backend }: KernelScope): string | undefined => {
  if (backend.cuda === undefined) return undefined
  const types = new Set(handles.map((handle) => typeOf(handle)))
  return types.size === 1 ? storageMacro([...types][0]!) : undefined
}
