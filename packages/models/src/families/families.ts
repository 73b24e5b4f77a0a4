import type { Family } from "./family.ts"
import { llama } from "./llama.ts"
import { mistral } from "./mistral.ts"
import { mixtral } from "./mixtral.ts"
import { nemotron } from "./nemotron.ts"
import { qwen2 } from "./qwen2.ts"
import { qwen2Moe } from "./qwen2-moe.ts"
import { qwen3 } from "./qwen3.ts"
import { qwen3Moe } from "./qwen3-moe.ts"

/** The families known without being named; a loader takes others as values. */
export const builtInFamilies: ReadonlyArray<Family> = [
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen2Moe,
  qwen3,
  qwen3Moe,
  nemotron
]
