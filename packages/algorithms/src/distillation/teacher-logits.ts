import type { ScoredRows } from "@plumbline/data"
import { Policy, Teacher } from "@plumbline/models"
import { Context, Effect, Layer } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { DistillationData } from "./distillation-data.ts"
import type { TopLogits } from "./outcomes.ts"
import type { TaughtRow } from "./stored-logits.ts"
import { topLogits } from "./top-logits.ts"

export interface TeacherLogitsShape {
  /** What the teacher says of the scored tokens of a batch. */
  readonly of: (units: ReadonlyArray<TaughtRow>, rows: ScoredRows) => TopLogits
}

/** Where the teacher's word comes from. */
export class TeacherLogits extends Context.Service<TeacherLogits, TeacherLogitsShape>()(
  "@plumbline/algorithms/TeacherLogits"
) {
  /** A forward pass of the teacher for every batch. @param k tokens of each position that it names */
  static readonly layerModel = (k: number) =>
    Layer.effect(
      TeacherLogits,
      Effect.gen(function* () {
        const teacher = yield* Teacher
        yield* sameVocabulary(teacher.config.vocabulary)
        return { of: (_, rows) => topLogits(teacher, rows, k) } satisfies TeacherLogitsShape
      })
    )

  /** What the data's file has. @param k tokens of each position that count; all that are stored when absent */
  static readonly layerStored = (k?: number) =>
    Layer.effect(
      TeacherLogits,
      Effect.gen(function* () {
        const stored = yield* storedAlike
        yield* sameVocabulary(stored.vocabulary)
        const named = k ?? stored.k
        if (named > stored.k) {
          const reason = `the file names ${stored.k} tokens of each position, not ${named}: make more with plumb teacher-logits`
          return yield* new DataUnfit({ algorithm: "distillation", reason })
        }
        return { of: (rows) => likeliest(joined(rows), named) } satisfies TeacherLogitsShape
      })
    )
}

/** What the first row has, where all have the like. */
const storedAlike = Effect.gen(function* () {
  const { heldOut, units } = yield* DistillationData
  const first = units[0]!.row.teacher
  const odd = [...units, ...heldOut].find(
    ({ row }) => row.teacher?.k !== first?.k || row.teacher?.vocabulary !== first?.vocabulary
  )
  if (first === undefined || (odd?.row.teacher === undefined && odd !== undefined)) {
    const reason = `${(odd ?? units[0]!).origin} has no teacher's logits: make them with plumb teacher-logits, or give --teacher`
    return yield* new DataUnfit({ algorithm: "distillation", reason })
  }
  if (odd !== undefined) {
    const reason = `${odd.origin} has other teacher's logits than the first row`
    return yield* new DataUnfit({ algorithm: "distillation", reason })
  }
  return first
})

/** The k likeliest tokens of each position; the others are its tail. */
const likeliest = (top: TopLogits, k: number): TopLogits => {
  const kept = (_: number, i: number) => i % top.k < k
  return k === top.k ? top : { ...top, k, ids: top.ids.filter(kept), logProbs: top.logProbs.filter(kept) }
}

const sameVocabulary = Effect.fnUntraced(function* (teacher: number) {
  const { config } = yield* Policy
  if (teacher === config.vocabulary) return
  const reason = `the teacher's vocabulary has ${teacher} tokens, the student's ${config.vocabulary}: their distributions cannot be compared`
  return yield* new DataUnfit({ algorithm: "distillation", reason })
})

const joined = (rows: ReadonlyArray<TaughtRow>): TopLogits => {
  const parts = rows.map(({ teacher }) => teacher!)
  const size = parts.reduce((sum, { ids }) => sum + ids.length, 0)
  const all = { ...parts[0]!, ids: new Int32Array(size), logProbs: new Float32Array(size) }
  let at = 0
  for (const { ids, logProbs } of parts) {
    all.ids.set(ids, at)
    all.logProbs.set(logProbs, at)
    at += ids.length
  }
  return all
}
