import { describe, expect, it } from "vitest"
import { decoderConfig } from "../create-model.ts"
import { llama } from "../families/llama.ts"
import { mostGathered, placeAfter, placesOf } from "./places.ts"

const table = { family: llama, vocabulary: 10, width: 4, layers: 12, heads: 2, mlpWidth: 8, maxPositions: 16 }
const config = decoderConfig(table)

describe("the places of a decoder", () => {
  it("are the embedding's, each block's and the output matrix's", () => {
    expect(placesOf(config, "model.embed_tokens.weight")).toEqual([0])
    expect(placesOf(config, "model.layers.0.mlp.up_proj.weight")).toEqual([1])
    // not those of block 1
    expect(placesOf(config, "model.layers.11.self_attn.q_proj.weight")).toEqual([12])
    expect(placesOf(config, "lm_head.weight")).toEqual([13])
    const tied = decoderConfig({ ...table, tiedEmbeddings: true })
    expect(placesOf(tied, "model.embed_tokens.weight")).toEqual([0, 13])
  })

  it("are gone through upward and, where there is a backward pass, down again to the first block", () => {
    const way = (places: ReadonlyArray<number>, before: number | undefined, turnsBack: boolean) =>
      places.map((place, i) => placeAfter(place, places[i - 1] ?? before, 3, turnsBack))
    expect(way([0, 1, 2, 3], undefined, false)).toEqual([1, 2, 3, undefined])
    // from the output matrix back to block 2, which is there still
    expect(way([0, 1, 2, 3, 2, 1], undefined, true)).toEqual([1, 2, 3, 2, 1, undefined])
    // a pass that begins where another came down goes up
    expect(way([0, 1, 2, 3], 1, true)).toEqual([1, 2, 3, 2])
  })

  it("have most gathered where a place and the next are largest", () => {
    // 4·(4·4) attention + 3·(4·8) MLP, twice; the embedding has 40
    expect(mostGathered(config)).toBe(2 * (64 + 96))
    expect(mostGathered(decoderConfig({ ...table, vocabulary: 1000 }))).toBe(4000 + 64 + 96)
  })
})
