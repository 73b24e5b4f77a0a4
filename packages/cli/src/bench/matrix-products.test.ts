import { decoderConfig, llama } from "@plumbline/models"
import { expect, it } from "vitest"
import { stepProducts } from "./matrix-products.ts"

const table = { family: llama, vocabulary: 32, width: 8, layers: 2, heads: 2, mlpWidth: 16, maxPositions: 4 }

it("lists one forward and two backward products of each linear layer", () => {
  const products = stepProducts(decoderConfig(table), 10)
  // four [8, 8] and three [16, 8] or [8, 16] a layer, and the output matrix [32, 8]; the embedding is looked up
  expect(products).toEqual([
    { m: 10, n: 8, k: 8, count: 8 },
    { m: 10, n: 8, k: 8, count: 8 },
    { m: 8, n: 8, k: 10, count: 8 },
    { m: 10, n: 16, k: 8, count: 4 },
    { m: 10, n: 8, k: 16, count: 4 },
    { m: 16, n: 8, k: 10, count: 4 },
    { m: 10, n: 8, k: 16, count: 2 },
    { m: 10, n: 16, k: 8, count: 2 },
    { m: 8, n: 16, k: 10, count: 2 },
    { m: 10, n: 32, k: 8, count: 1 },
    { m: 10, n: 8, k: 32, count: 1 },
    { m: 32, n: 8, k: 10, count: 1 }
  ])
})

it("takes a tied embedding as the output matrix it is, too", () => {
  const flops = (tiedEmbeddings: boolean) =>
    stepProducts(decoderConfig({ ...table, tiedEmbeddings }), 10).reduce(
      (sum, { count, k, m, n }) => sum + 2 * count * k * m * n,
      0
    )
  // 6 FLOPs a token and matrix element: 2·(4·64 + 3·128) + 32·8 elements
  expect(flops(true)).toBe(6 * 10 * 1536)
  expect(flops(false)).toBe(flops(true))
})
