import { ReferencePolicy } from "@plumbline/models"
import { Generator } from "@plumbline/rollout-generation"
import { Context, Effect, Layer } from "effect"
import { ROWS } from "../responses/rollout-fields.ts"

/** The engine over the reference's weights, as they are at the time: what it writes is the opponent's, or the last iteration's. */
export const opponentEngine = ({ maxRows }: { readonly maxRows: number }) =>
  Layer.unwrap(Effect.map(ReferencePolicy, (opponent) => Generator.layerModel(opponent, { maxRows })))

/** Held-out prompts are answered by what is trained, and not by the last iteration's model; undefined where there are none. */
export const policyEngine = Effect.fnUntraced(function* (options: {
  readonly eval?: string | undefined
  readonly maxRows?: number | undefined
}) {
  if (options.eval === undefined) return undefined
  const { maxRows = ROWS } = options
  return Context.get(yield* Layer.build(Generator.layerEngine({ maxRows })), Generator)
})
