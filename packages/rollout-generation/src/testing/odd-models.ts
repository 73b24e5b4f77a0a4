import {
  type DecoderTable,
  llama,
  mistral,
  mixtral,
  nemotron,
  qwen2,
  qwen2Moe,
  qwen3,
  qwen3Moe
} from "@plumbline/models"

const odd = { vocabulary: 1027, layers: 2, maxPositions: 256 }
const scale = { initializer_range: 0.08 }

/** Every family, in numbers that no kernel is made for: heads of 20 to 192 numbers, groups of 1 to 16, odd vocabularies and MLPs. */
export const oddModels: ReadonlyArray<DecoderTable> = [
  { ...odd, family: llama, width: 96, heads: 6, keyValueHeads: 2, headWidth: 48, mlpWidth: 250, settings: scale },
  { ...odd, family: llama, width: 64, heads: 16, keyValueHeads: 1, headWidth: 16, mlpWidth: 204, settings: scale },
  {
    ...odd,
    family: mistral,
    width: 80,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 80,
    mlpWidth: 204,
    settings: { ...scale, sliding_window: 11 }
  },
  {
    ...odd,
    family: mixtral,
    width: 64,
    heads: 4,
    keyValueHeads: 4,
    headWidth: 72,
    mlpWidth: 90,
    settings: { ...scale, num_local_experts: 5 }
  },
  { ...odd, family: nemotron, width: 90, heads: 3, headWidth: 30, mlpWidth: 121, settings: scale },
  { ...odd, family: qwen2, width: 70, heads: 7, keyValueHeads: 1, headWidth: 20, mlpWidth: 190, settings: scale },
  {
    ...odd,
    family: qwen2Moe,
    width: 64,
    heads: 2,
    headWidth: 96,
    mlpWidth: 96,
    settings: { ...scale, num_experts: 7, moe_intermediate_size: 50, shared_expert_intermediate_size: 70 }
  },
  { ...odd, family: qwen3, width: 64, heads: 12, keyValueHeads: 1, headWidth: 64, mlpWidth: 204, settings: scale },
  {
    ...odd,
    family: qwen3Moe,
    width: 64,
    heads: 2,
    keyValueHeads: 1,
    headWidth: 192,
    mlpWidth: 96,
    settings: { ...scale, num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 50 }
  }
]

export const titleOf = ({ family, headWidth, heads, keyValueHeads = heads }: DecoderTable): string =>
  `${family.modelType}, ${heads} heads of ${headWidth} numbers, ${heads / keyValueHeads} to a key`
