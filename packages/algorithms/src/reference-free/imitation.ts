import type { TokenizedPreference, TokenizedTriple } from "@plumbline/data"
import { LossInvalid } from "../loss-invalid.ts"
import type { Imitation } from "./reference-free-loss.ts"

/** The chosen response is imitated. */
export const imitateChosen = (loss: string, weight: number): Imitation<TokenizedPreference> | undefined =>
  imitation(loss, weight, ({ chosen }) => chosen)

/** The chosen response is imitated, and the prompt before it. */
export const imitateChosenWithPrompt = (loss: string, weight: number): Imitation<TokenizedPreference> | undefined =>
  imitation(loss, weight, ({ chosen: { ids } }) => ({ ids, lossMask: new Uint8Array(ids.length).fill(1, 1) }))

/** The gold response is imitated. */
export const imitateGold = (loss: string, weight: number): Imitation<TokenizedTriple> | undefined =>
  imitation(loss, weight, ({ gold }) => gold)

/** @throws LossInvalid where the weight is negative or no number; none is added at 0 */
const imitation = <Row>(loss: string, weight: number, row: Imitation<Row>["row"]): Imitation<Row> | undefined => {
  if (!(weight >= 0 && weight < Infinity)) {
    throw new LossInvalid({ loss, reason: `the cross-entropy weighs 0 or more, not ${weight}` })
  }
  return weight === 0 ? undefined : { weight, row }
}
