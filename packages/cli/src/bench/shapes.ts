import { type DecoderTable, llama, mixtral, qwen2, qwen3Moe } from "@plumbline/models"

/** A decoder to time, without the context, which is as long as the rows are. */
export type Shape = Omit<DecoderTable, "maxPositions">

/** Models to time, by name. */
export const shapes = {
  "llama-tiny": { family: llama, vocabulary: 4096, width: 256, layers: 4, heads: 4, mlpWidth: 1024 },
  "gpt2-like": {
    family: llama,
    vocabulary: 50_257,
    width: 768,
    layers: 12,
    heads: 12,
    mlpWidth: 3072,
    tiedEmbeddings: true
  },
  "qwen2-0.5b": {
    family: qwen2,
    vocabulary: 151_936,
    width: 896,
    layers: 24,
    heads: 14,
    keyValueHeads: 2,
    mlpWidth: 4864,
    tiedEmbeddings: true
  },
  "llama-1.2b": {
    family: llama,
    vocabulary: 128_256,
    width: 2048,
    layers: 16,
    heads: 32,
    keyValueHeads: 8,
    mlpWidth: 8192,
    tiedEmbeddings: true
  },
  "llama-8b": {
    family: llama,
    vocabulary: 128_256,
    width: 4096,
    layers: 32,
    heads: 32,
    keyValueHeads: 8,
    mlpWidth: 14_336
  },
  "llama-8b-slice": {
    family: llama,
    vocabulary: 128_256,
    width: 4096,
    layers: 8,
    heads: 32,
    keyValueHeads: 8,
    mlpWidth: 14_336
  },
  "mixtral-small": {
    family: mixtral,
    vocabulary: 4096,
    width: 512,
    layers: 4,
    heads: 8,
    keyValueHeads: 4,
    mlpWidth: 1024,
    settings: { num_local_experts: 8, num_experts_per_tok: 2 }
  },
  "mixtral-8x7b-slice": {
    family: mixtral,
    vocabulary: 32_000,
    width: 4096,
    layers: 2,
    heads: 32,
    keyValueHeads: 8,
    mlpWidth: 14_336,
    settings: { num_local_experts: 8, num_experts_per_tok: 2 }
  },
  "qwen3-30b-a3b-slice": {
    family: qwen3Moe,
    vocabulary: 151_936,
    width: 2048,
    layers: 4,
    heads: 32,
    keyValueHeads: 4,
    headWidth: 128,
    mlpWidth: 6144,
    settings: { num_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 768, norm_topk_prob: true }
  }
} as const satisfies Readonly<Record<string, Shape>>

export type ShapeName = keyof typeof shapes

export const shapeNames = Object.keys(shapes) as ReadonlyArray<ShapeName>

/**
 * The same program on numbers so small that only the host's part of it takes time: as many layers, so as many
 * operations.
 */
export const shrunk = (shape: Shape): Shape => ({
  ...shape,
  vocabulary: 256,
  width: 64,
  heads: 2,
  headWidth: 32,
  keyValueHeads: (shape.keyValueHeads ?? shape.heads) < shape.heads ? 1 : 2,
  mlpWidth: 128,
  settings: { ...shape.settings, moe_intermediate_size: 64 }
})
