import { ReferencePolicy } from "@plumbline/models"
import { Generator } from "@plumbline/rollout-generation"
import { Effect, Layer } from "effect"

/** The engine over the reference's weights, as they are at the time: what it writes is the opponent's, or the last iteration's. */
export const opponentEngine = ({ maxRows }: { readonly maxRows: number }) =>
  Layer.unwrap(Effect.map(ReferencePolicy, (opponent) => Generator.layerModel(opponent, { maxRows })))
