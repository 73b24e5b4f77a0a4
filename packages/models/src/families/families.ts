import type { Family } from "./family.ts"
import { llama } from "./llama.ts"
import { mistral } from "./mistral.ts"
import { nemotron } from "./nemotron.ts"
import { qwen2 } from "./qwen2.ts"
import { qwen3 } from "./qwen3.ts"

/** The families known without being named; a loader takes others as values. */
export const builtInFamilies: ReadonlyArray<Family> = [llama, mistral, qwen2, qwen3, nemotron]
