import { type Attachment, type OutputUnwritable, writeFileAtomically } from "@plumbline/training"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import type { CriticFailed, CriticShape } from "../critic/critic.ts"
import type { PreparedRow } from "./prepare.ts"
import type { Rollout } from "./rollout.ts"
import type { WriteError } from "./write-rollout.ts"
import { parseTyped, stringifyTyped } from "./typed-json.ts"

type Metrics = Readonly<Record<string, number>>

/** A rollout that steps are being made on. */
export interface WorkingRollout {
  readonly index: number
  readonly rows: ReadonlyArray<PreparedRow>
  /** Mean KL of its responses before the first step; where it is measured. */
  readonly kl: number | undefined
  /** Of the rollout, for the metrics of each of its steps. */
  readonly metrics: Metrics
}

interface State {
  readonly rollout: WorkingRollout | undefined
  /** Those written ahead of it. */
  readonly ahead: ReadonlyArray<Rollout>
  readonly klCoefficient: number
  /** What the critic said of its steps on the rollout, once it is through. */
  readonly lesson: Metrics
  /** Where the critic of the checkpoint is. */
  readonly critic?: string
}

const FILE = "rollout.json"

/** What is being learnt from, and its place in checkpoints. */
export interface Work<E, R> {
  readonly attachment: Attachment<OutputUnwritable | WriteError | E, R>
  /** Starts a run: with what was restored, else with nothing; @returns the rollouts that were written ahead. */
  readonly begin: () => ReadonlyArray<Rollout>
  /** Rollouts are written ahead: those that are there when a checkpoint is made. */
  readonly writing: (ahead: Effect.Effect<ReadonlyArray<Rollout>, WriteError | E>) => void
  readonly take: (rollout: WorkingRollout) => void
  /** The rollout of that number, which must be the one that was taken. */
  readonly rollout: (index: number) => WorkingRollout
  /** The critic has begun to learn from the rollout. */
  readonly learning: (done: Effect.Effect<Metrics, CriticFailed>) => void
  /** Waits until it has. */
  readonly learnt: Effect.Effect<Metrics, CriticFailed>
  readonly klCoefficient: () => number
  readonly setKlCoefficient: (coefficient: number) => void
}

export const work = <E, R>(klCoefficient: number, critic: Effect.Effect<CriticShape, E, R> | undefined): Work<E, R> => {
  const fresh: State = { rollout: undefined, ahead: [], klCoefficient, lesson: {} }
  let state = fresh
  let restored = false
  let pending: Effect.Effect<Metrics, CriticFailed> | undefined
  let written: Effect.Effect<ReadonlyArray<Rollout>, WriteError | E> = Effect.succeed([])
  const learnt = Effect.gen(function* () {
    if (pending !== undefined) state = { ...state, lesson: yield* pending }
    pending = undefined
    return state.lesson
  })
  const attachment: Work<E, R>["attachment"] = {
    save: Effect.fnUntraced(function* (folder) {
      yield* learnt
      const ahead = yield* written
      const where = critic && (yield* (yield* critic).save(folder, checkpointName(folder)))
      yield* writeFileAtomically(join(folder, FILE), stringifyTyped({ ...state, ahead, critic: where }))
    }),
    assist: Effect.gen(function* () {
      yield* learnt
      const { assist } = critic === undefined ? {} : yield* critic
      if (assist !== undefined) yield* assist
    }),
    restore: Effect.fnUntraced(function* (folder) {
      const file = join(folder, FILE)
      if (!existsSync(file)) return
      state = { ...fresh, ...(parseTyped(readFileSync(file, "utf8")) as Partial<State>) }
      restored = true
      if (critic !== undefined && state.critic !== undefined) yield* (yield* critic).restore(folder, state.critic)
    })
  }
  return {
    attachment,
    learnt,
    begin: () => {
      if (!restored) state = fresh
      restored = false
      pending = undefined
      return state.ahead
    },
    writing: (ahead) => void (written = ahead),
    take: (rollout) => void (state = { ...state, rollout }),
    rollout: (index) => {
      const { rollout } = state
      if (rollout?.index !== index) throw new Error(`rollout ${index} is not the one at hand`)
      return rollout
    },
    learning: (done) => void (pending = done),
    klCoefficient: () => state.klCoefficient,
    setKlCoefficient: (coefficient) => void (state = { ...state, klCoefficient: coefficient })
  }
}

/** A checkpoint is made under another name than it will have. */
const checkpointName = (folder: string): string => basename(folder).replace(/^\.|\.tmp$/g, "")
