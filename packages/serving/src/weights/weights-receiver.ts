import { type CausalLM, fixedDigest, ownVariables, shapesOf, type StagedTensor } from "@plumbline/models"
import type { EngineGenerator, ServedWeights } from "@plumbline/rollout-generation"
import { writeValues } from "@plumbline/runtime"
import { Effect } from "effect"

/** Whose weights a transfer brings, and which of theirs. */
export interface WeightsStamp {
  readonly version: number
  /** Of whoever sends them; undefined where that is not said. */
  readonly run: string | undefined
}

/** Sets the weights of a served model to values that come in parts. */
export interface WeightsReceiver {
  readonly shapes: ReturnType<typeof shapesOf>
  readonly describe: Effect.Effect<typeof ServedWeights.Type>
  /** Whose weights the model has; undefined where they are its folder's, or nobody's. */
  readonly run: () => string | undefined
  /**
   * Keeps a part. With the last one all values are set between two steps of the engine. A part of another stamp than the
   * one before puts aside what had come for that.
   *
   * @returns tensors that are still to come
   */
  readonly take: (stamp: WeightsStamp, part: ReadonlyMap<string, StagedTensor>) => Effect.Effect<number>
}

const isSame = (a: WeightsStamp, b: WeightsStamp): boolean => a.version === b.version && a.run === b.run

const isSameSet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every((name) => b.has(name))

/** @param model whose variables are set: all of its weights, or an adapter's */
export const weightsReceiver = (
  model: CausalLM,
  { betweenSteps }: Pick<EngineGenerator, "betweenSteps">
): WeightsReceiver => {
  const variables = ownVariables(model)
  const shapes = shapesOf(variables)
  let current: WeightsStamp | undefined
  let staged: { readonly stamp: WeightsStamp; readonly tensors: Map<string, StagedTensor> } | undefined
  let completing: { readonly stamp: WeightsStamp; readonly names: ReadonlySet<string> } | undefined
  const setAll = ({ stamp, tensors }: NonNullable<typeof staged>) =>
    Effect.gen(function* () {
      for (const [name, variable] of variables) {
        writeValues(variable, tensors.get(name)!.values())
        tensors.delete(name)
        // others are answered meanwhile; responses wait
        yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
      }
      model.version.set(stamp.version)
      current = stamp
    })
  return {
    shapes,
    run: () => current?.run,
    describe: Effect.map(fixedDigest(model), (fixed) => ({
      version: model.version.current(),
      tensors: Object.fromEntries(shapes),
      fixed
    })),
    take: (stamp, part) =>
      Effect.suspend(() => {
        const names = new Set(part.keys())
        if (completing !== undefined && isSame(completing.stamp, stamp) && isSameSet(completing.names, names)) {
          // behind the setting of them, which may be under way
          return Effect.as(betweenSteps(Effect.void), 0)
        }
        completing = undefined
        if (staged === undefined || !isSame(staged.stamp, stamp)) staged = { stamp, tensors: new Map() }
        for (const [name, tensor] of part) staged.tensors.set(name, tensor)
        const missing = variables.size - staged.tensors.size
        if (missing > 0) return Effect.succeed(missing)
        const whole = staged
        staged = undefined
        // whole weights in one part may be others under the same stamp
        completing = names.size < variables.size ? { stamp, names } : undefined
        return Effect.as(betweenSteps(setAll(whole)), 0)
        // who has gone meanwhile asks again, and is told that they are set
      }).pipe(Effect.uninterruptible)
  }
}
