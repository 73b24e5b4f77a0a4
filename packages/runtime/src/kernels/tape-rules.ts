import type { TapeRule } from "../tape-reach.ts"
import type { Remake } from "../tape-remade.ts"
import {
  ADD_PRODUCT,
  ADD_RMS_NORM,
  EMBEDDING,
  fused,
  GATED_ACTIVATION,
  GATED_MLP,
  GROUPED_LINEARS,
  LAYER_NORM,
  LINEAR,
  LINEARS,
  RMS_NORM,
  TOKEN_LOG_PROBS
} from "./names.ts"

/** Gradients look at shapes alone. */
const shapes: TapeRule = { reads: () => false }

/** Each gradient reads the other input. */
const other: TapeRule = { reads: (saved, asked) => asked.size > (asked.has(saved) ? 1 : 0) }

/** The gradient of x, input 0, reads the weights, and those of the weights read x. */
const onOneInput: TapeRule = {
  reads: (saved, asked) => (saved === "0" ? other.reads(saved, asked) : asked.has("0")),
  isTold: true
}

/** The same, where input 1 may be where groups end, which both read. */
const onGroups: TapeRule = { ...onOneInput, reads: (saved, asked) => saved === "1" || onOneInput.reads(saved, asked) }

/** The gradients of the layers on x read x and that of x these, all three the slopes and `down`; that of `down` what it read. */
const gatedMlp: TapeRule = {
  reads: (saved, asked) => {
    const onX = asked.has("gate") || asked.has("up")
    if (saved === "x") return onX
    return asked.has("x") || (saved === "down" && onX)
  },
  readsOutput: (output, asked) => (output === 1 ? asked.size > (asked.has("down") ? 1 : 0) : asked.has("down")),
  isTold: true
}

/** The gradients of x and weight read each other, and that of the sum nothing. */
const ontoSum: TapeRule = { reads: (saved, asked) => asked.has(saved === "x" ? "weight" : "x") }

const all: TapeRule = { reads: () => true, isTold: true }

/** Of operations that save more than the gradients asked for read. */
export const tapeRules: ReadonlyMap<string, TapeRule> = new Map([
  ...["Add", "AddN", "Concat", "ExpandDims", "Mean", "Pack", "PadV2", "Reshape", "Slice", "Sub", "Sum"].map(
    (name) => [name, shapes] as const
  ),
  [EMBEDDING, shapes],
  ["BatchMatMul", other],
  ["Multiply", other],
  [LINEAR, other],
  [LINEARS, onOneInput],
  [GATED_MLP, gatedMlp],
  [GROUPED_LINEARS, onGroups],
  [ADD_PRODUCT, ontoSum],
  [RMS_NORM, all],
  [ADD_RMS_NORM, all],
  [LAYER_NORM, all],
  // that of the hidden states was made in the forward pass
  [TOKEN_LOG_PROBS, { reads: (_, asked) => asked.has("weight") }]
])

/** Operations that cost next to nothing beside the products around them. */
export const tapeRemakes: Readonly<Record<string, Remake>> = {
  [GATED_ACTIVATION]: ([gate, up], { activation }) => fused(GATED_ACTIVATION, { gate: gate!, up: up! }, { activation })
}
