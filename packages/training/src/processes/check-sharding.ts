import { hasMixtures, type Model } from "@plumbline/models"
import { type ProcessesShape, ShardingUnsupported } from "@plumbline/runtime"
import { Effect } from "effect"
import type { Trainable } from "../algorithm.ts"

/** Fails where a fully sharded run would not be one, or could not go on. @param moves whether steps move a model without training it */
export const checkSharding = (
  models: Trainable,
  moves: boolean,
  { sharding, size }: ProcessesShape
): Effect.Effect<void, ShardingUnsupported> => {
  const refuse = (reason: string) => Effect.fail(new ShardingUnsupported({ reason }))
  if (sharding !== "full") return Effect.void
  if (size === 1) return refuse("one process has nobody to share with: it is for --processes 2 and more")
  if (moves) return refuse("a reference that moves with the policy cannot be held in parts yet")
  for (const [role, model] of Object.entries(models)) {
    const reason = unfit(role, model)
    if (reason !== undefined) return refuse(reason)
  }
  return Effect.void
}

const unfit = (role: string, model: Model): string | undefined => {
  // experts that go one by one may have their gradients in another order in each process
  if (hasMixtures(model) && model.weights.grouped === undefined)
    return "mixtures whose experts have adapters that go one by one cannot be held in parts yet"
  if (model.shards === undefined)
    return `each process has the whole of ${role}: a language model of a folder, all its weights or an adapter on it, can be held in parts`
  return undefined
}
