import { expect, it } from "vitest"
import { hasDoubledBos } from "./doubled-bos.ts"
import type { TokenizerShape } from "../tokenizer/tokenizer.ts"

const tokenizer = (bosId: number | undefined, eosId: number) => ({ bosId, eosId }) as TokenizerShape
const doubled = (bosId: number | undefined, eosId: number, ...ids: ReadonlyArray<number>) =>
  hasDoubledBos(tokenizer(bosId, eosId), Int32Array.from(ids))

it("knows two BOS in front, and not what looks like them", () => {
  expect(doubled(1, 2, 1, 1, 5, 2)).toBe(true)
  expect(doubled(1, 2, 1, 1)).toBe(true)
  expect(doubled(1, 2, 1, 5, 1, 1)).toBe(false)
  expect(doubled(undefined, 2, 1, 1, 5)).toBe(false)
  // BOS and EOS of an empty text
  expect(doubled(1, 1, 1, 1)).toBe(false)
  expect(doubled(1, 1, 1, 1, 5)).toBe(true)
})
