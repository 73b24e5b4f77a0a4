import type { AttributeWeights } from "@plumbline/reward-model"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Schema } from "effect"

/** `name=number`: a weight, or a grade */
export const WeightedName = Schema.String.check(
  Schema.isPattern(/^[^=]+=[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i, { expected: "name=number, such as helpfulness=4" })
)

/** The weights that a flag lists. */
export const namedWeights = (
  listed: ReadonlyArray<string> | undefined,
  flag = "--attribute-weights"
): Effect.Effect<AttributeWeights | undefined, OptionsInvalid> => {
  if (listed === undefined) return Effect.succeed(undefined)
  const pairs = listed.map(
    (text) => [text.slice(0, text.lastIndexOf("=")).trim(), Number(text.slice(text.lastIndexOf("=") + 1))] as const
  )
  const twice = pairs.find(([name], i) => pairs.findIndex(([other]) => other === name) < i)
  if (twice === undefined) return Effect.succeed(Object.fromEntries(pairs))
  return Effect.fail(new OptionsInvalid({ option: flag, reason: `names ${twice[0]} twice` }))
}
