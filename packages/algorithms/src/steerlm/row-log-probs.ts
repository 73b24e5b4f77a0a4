import { collate, splitByTokens, type TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { responseLogProbs } from "../preference/pair-log-probs.ts"

/** [R] nats: log π of the scored tokens of each row. @param budget most tokens computed at once; a longer row is computed alone */
export const rowLogProbs = (
  model: CausalLM,
  rows: ReadonlyArray<TokenizedRow>,
  { budget, padId }: { readonly budget: number; readonly padId: number }
): Float32Array => {
  const found = new Float32Array(rows.length)
  for (const places of splitByTokens([...rows.keys()], { tokens: (place) => rows[place]!.ids.length, budget })) {
    const batch = collate(
      places.map((place) => rows[place]!),
      { layout: "packed", padId }
    )
    responseLogProbs(model, { rows: batch }).forEach((value, i) => (found[places[i]!] = value))
  }
  return found
}
