import { decoderConfig, parameterCount } from "@plumbline/models"
import { expect, it } from "vitest"
import { type ShapeName, shapes, shrunk } from "./shapes.ts"

// Per layer: queries and outputs 2·D², keys and values 2·D·(8/32)·D, MLP 3·D·M, two norms 2·D. Besides: the embedding
// V·D, the final norm D, and V·D again where the output matrix is its own.
it.each<[ShapeName, number]>([
  // the published size of Llama 3.2 1B: 16·(2·2048² + 2·2048·512 + 3·2048·8192 + 2·2048) + 128256·2048 + 2048
  ["llama-1.2b", 1_235_814_400],
  // 8·(2·4096² + 2·4096·1024 + 3·4096·14336 + 2·4096) + 2·128256·4096 + 4096
  ["llama-8b-slice", 8 * (2 * 4096 ** 2 + 2 * 4096 * 1024 + 3 * 4096 * 14_336 + 8192) + 2 * 128_256 * 4096 + 4096],
  // 2·(2·4096² + 2·4096·1024 + 8·(3·4096·14336 + 4096) + 2·4096) + 2·32000·4096 + 4096: the router has a row an expert
  [
    "mixtral-8x7b-slice",
    2 * (2 * 4096 ** 2 + 2 * 4096 * 1024 + 8 * (3 * 4096 * 14_336 + 4096) + 8192) + 2 * 32_000 * 4096 + 4096
  ],
  // 4·(2·2048·4096 + 2·2048·512 + 128·(3·2048·768 + 2048) + 2·2048 + 2·128) + 2·151936·2048 + 2048: heads of 128 have norms of their own
  [
    "qwen3-30b-a3b-slice",
    4 * (2 * 2048 * 4096 + 2 * 2048 * 512 + 128 * (3 * 2048 * 768 + 2048) + 4096 + 256) + 2 * 151_936 * 2048 + 2048
  ],
  // 12·(4·768² + 3·768·3072 + 2·768) + 50257·768 + 768
  ["gpt2-like", 12 * (4 * 768 ** 2 + 3 * 768 * 3072 + 1536) + 50_257 * 768 + 768]
])("%s has the parameters of its numbers", (name, parameters) => {
  expect(parameterCount(decoderConfig({ ...shapes[name], maxPositions: 1024 }))).toBe(parameters)
})

it("shrinks to the same layers, grouped heads where there were some", () => {
  expect(shrunk(shapes["llama-1.2b"])).toMatchObject({ layers: 16, width: 64, heads: 2, keyValueHeads: 1 })
  expect(shrunk(shapes["gpt2-like"])).toMatchObject({ layers: 12, heads: 2, keyValueHeads: 2, tiedEmbeddings: true })
})
