import { ReferencePolicy } from "@plumbline/models"
import { Generator } from "@plumbline/rollout-generation"
import { Context, Effect, Layer } from "effect"

/** The engine over the reference's weights, as they are at the time: what it writes is the opponent's, or the last iteration's. */
export const opponentEngine = ({ maxRows }: { readonly maxRows: number }) =>
  Layer.unwrap(Effect.map(ReferencePolicy, (opponent) => Generator.layerModel(opponent, { maxRows })))

/** Held-out prompts are answered by what is trained, and not by the last iteration's model. */
export const policyWrites = Effect.fnUntraced(function* (options: {
  readonly eval?: string | undefined
  readonly maxRows: number
}) {
  if (options.eval === undefined) return {}
  const { maxRows } = options
  return { generator: Context.get(yield* Layer.build(Generator.layerEngine({ maxRows })), Generator) }
})
