import { MalformedRecord, type RawRow, type TokenizedRow } from "@plumbline/data"
import { Result, Schema } from "effect"
import type { TopLogits } from "./outcomes.ts"

/** A row and what a teacher said of its scored tokens. */
export interface TaughtRow extends TokenizedRow {
  /** Absent where the file has only rows. */
  readonly teacher?: TopLogits
}

const Token = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * A line of a file of teacher's logits. Lists are by scored token, and in each by falling logit; logits are less the largest of the
 * position, as is the log-sum-exp, which is over the whole vocabulary.
 */
const Stored = Schema.Struct({
  input_ids: Schema.Array(Token),
  loss_mask: Schema.Array(Schema.Literals([0, 1])),
  vocabulary: Token,
  topk_token_ids: Schema.Array(Schema.Array(Token)),
  topk_logits: Schema.Array(Schema.Array(Schema.Finite)),
  log_sum_exp_logits: Schema.Array(Schema.Finite)
})

/** The line of a row. */
export const storedLine = (index: number, { ids, lossMask }: TokenizedRow, teacher: TopLogits): string => {
  const { k, logProbs, vocabulary } = teacher
  const count = teacher.ids.length / k
  const lists = <A>(values: ArrayLike<number>, of: (value: number, token: number) => A) =>
    Array.from({ length: count }, (_, t) => Array.from({ length: k }, (_none, j) => of(values[t * k + j]!, t)))
  return JSON.stringify({
    index,
    input_ids: [...ids],
    loss_mask: [...lossMask],
    vocabulary,
    topk_token_ids: lists(teacher.ids, (id) => id),
    // six digits after the point are what float32 has of a number of this size
    topk_logits: lists(logProbs, (value, t) => rounded(value - logProbs[t * k]!)),
    log_sum_exp_logits: Array.from({ length: count }, (_, t) => rounded(-logProbs[t * k]!))
  })
}

const rounded = (value: number): number => Number(value.toFixed(6))

export const isStored = ({ value }: RawRow): boolean => "topk_token_ids" in value

const decode = Schema.decodeUnknownResult(Stored)

/** @throws MalformedRecord */
export const storedRow = (row: RawRow): TaughtRow => {
  const decoded = decode(row.value)
  if (Result.isFailure(decoded)) throw malformed(row, String(decoded.failure.message))
  const { input_ids, log_sum_exp_logits, loss_mask, topk_logits, topk_token_ids, vocabulary } = decoded.success
  const scored = loss_mask.reduce<number>((sum, counts) => sum + counts, 0)
  const k = topk_token_ids[0]?.length ?? 0
  if (input_ids.length !== loss_mask.length) throw malformed(row, "input_ids and loss_mask differ in length")
  if (scored === 0 || k === 0) throw malformed(row, "no token counts")
  for (const lists of [topk_token_ids, topk_logits]) {
    if (lists.length !== scored || lists.some((list) => list.length !== k)) {
      throw malformed(row, `topk lists are not ${k} entries for each of the ${scored} tokens that count`)
    }
  }
  if (log_sum_exp_logits.length !== scored) throw malformed(row, `not ${scored} log_sum_exp_logits`)
  const logProbs = topk_logits.flatMap((list, t) => list.map((logit) => logit - log_sum_exp_logits[t]!))
  return {
    ids: Int32Array.from(input_ids),
    lossMask: Uint8Array.from(loss_mask),
    teacher: { k, vocabulary, ids: Int32Array.from(topk_token_ids.flat()), logProbs: Float32Array.from(logProbs) }
  }
}

const malformed = ({ file, line }: RawRow, reason: string) => new MalformedRecord({ file, line, field: "", reason })

/** The row cut to `maxLength` tokens, and the teacher's word with it. */
export const cutTaught = (row: TaughtRow, maxLength: number): TaughtRow => {
  const ids = row.ids.slice(0, maxLength)
  const lossMask = row.lossMask.slice(0, maxLength)
  const { teacher } = row
  if (teacher === undefined) return { ids, lossMask }
  const kept = lossMask.reduce((sum, counts) => sum + counts, 0) * teacher.k
  return {
    ids,
    lossMask,
    teacher: { ...teacher, ids: teacher.ids.slice(0, kept), logProbs: teacher.logProbs.slice(0, kept) }
  }
}
