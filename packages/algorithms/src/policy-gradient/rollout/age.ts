import { UNKNOWN_VERSION } from "@plumbline/rollout-generation"
import { Effect, Schema } from "effect"
import type { Rollout } from "./rollout.ts"

/** A rollout has tokens that are older than a run trains on. */
export class RolloutTooOld extends Schema.TaggedError<RolloutTooOld>()("RolloutTooOld", {
  rollout: Schema.Int,
  /** Of the weights that made the oldest token. */
  version: Schema.Int,
  /** Of the policy's weights, before the first step on the rollout. */
  current: Schema.Int,
  /** Versions that a token may be older. */
  most: Schema.Int
}) {
  override get message() {
    const { current, most, rollout, version } = this
    return (
      `rollout ${rollout} has tokens of weights of version ${version}, ${current - version} before those that are to learn ` +
      `from it, where --staleness allows ${most}: the generator lags behind the policy`
    )
  }
}

/** Versions by which the weights that made each token are older, of those tokens whose version is known. */
export const agesOf = ({ groups }: Rollout, current: number): ReadonlyArray<number> =>
  groups.flatMap(({ responses }) =>
    responses.flatMap(({ policyVersions }) =>
      Array.from(
        policyVersions.filter((version) => version !== UNKNOWN_VERSION),
        (version) => current - version
      )
    )
  )

/** Refuses to learn from tokens older than the bound. @param current version of the policy's weights */
export const checkAge = (rollout: Rollout, current: number, most: number): Effect.Effect<void, RolloutTooOld> =>
  Effect.suspend(() => {
    const oldest = agesOf(rollout, current).reduce((most, age) => Math.max(most, age), 0)
    if (oldest <= most) return Effect.void
    return Effect.fail(new RolloutTooOld({ rollout: rollout.index, version: current - oldest, current, most }))
  })
