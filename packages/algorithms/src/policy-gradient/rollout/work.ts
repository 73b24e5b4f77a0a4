import { type Attachment, type OutputUnwritable, writeFileAtomically } from "@plumbline/training"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { PreparedRow } from "./prepare.ts"
import { parseTyped, stringifyTyped } from "./typed-json.ts"

/** A rollout that steps are being made on. */
export interface WorkingRollout {
  readonly index: number
  readonly rows: ReadonlyArray<PreparedRow>
  /** Mean KL of its responses before the first step; where it is measured. */
  readonly kl: number | undefined
  /** Of the rollout, for the metrics of each of its steps. */
  readonly metrics: Readonly<Record<string, number>>
}

interface Work {
  readonly rollout: WorkingRollout | undefined
  readonly klCoefficient: number
}

const FILE = "rollout.json"

/** What is being learnt from, and its place in checkpoints. */
export const work = (klCoefficient: number) => {
  let state: Work = { rollout: undefined, klCoefficient }
  let restored = false
  const attachment: Attachment<OutputUnwritable, never> = {
    save: (folder) => writeFileAtomically(join(folder, FILE), stringifyTyped(state)),
    restore: (folder) =>
      Effect.sync(() => {
        const file = join(folder, FILE)
        if (!existsSync(file)) return
        state = parseTyped(readFileSync(file, "utf8")) as Work
        restored = true
      })
  }
  return {
    attachment,
    /** Starts a run: with what was restored, else with nothing. */
    begin: () => {
      if (!restored) state = { rollout: undefined, klCoefficient }
      restored = false
    },
    take: (rollout: WorkingRollout) => void (state = { ...state, rollout }),
    /** The rollout of that number, which must be the one that was taken. */
    rollout: (index: number): WorkingRollout => {
      const { rollout } = state
      if (rollout?.index !== index) throw new Error(`rollout ${index} is not the one at hand`)
      return rollout
    },
    klCoefficient: () => state.klCoefficient,
    setKlCoefficient: (coefficient: number) => void (state = { ...state, klCoefficient: coefficient })
  }
}
