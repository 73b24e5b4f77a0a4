import { Result, Schema } from "effect"
import { type RewardError, RewardFailed, RewardNotFinite } from "../errors.ts"
import type { Judgement, RewardGroup } from "../reward-request.ts"
import { judgement, type PartName } from "../reward-shape.ts"

const Answer = Schema.Struct({ results: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
const decode = Schema.decodeUnknownResult(Answer)

/** Ids of a group's rows on the wire. */
export const idOf = ({ row }: RewardGroup, response: number): string => `${row}#${response}`

/** What a server was asked for. */
export interface Asked {
  readonly group: RewardGroup
  readonly parts: ReadonlyArray<PartName>
  /** Whether it names the parts in its results; its `reward` is the one part otherwise. */
  readonly named: boolean
  readonly url: string
}

/**
 * The judgements in a server's answer: a result for every response, in their order and under its id, each score a finite
 * number of float32. Whatever else it says is a failure, for a score that belongs to another row is worse than none.
 */
export const readResults = (
  answer: unknown,
  { group, named, parts, url }: Asked
): Result.Result<ReadonlyArray<Judgement>, RewardError> => {
  const failed = (reason: string) =>
    new RewardFailed({ row: group.row, part: parts[0]!.name, reason: `${url}: ${reason}` })
  const decoded = decode(answer)
  if (Result.isFailure(decoded)) return Result.fail(failed(`the server answered no "results": ${short(answer)}`))
  const { results } = decoded.success
  if (results.length !== group.responses.length) {
    return Result.fail(failed(`the server gave ${results.length} results for ${group.responses.length} responses`))
  }
  const judgements: Array<Judgement> = []
  for (const [i, result] of results.entries()) {
    if (result["id"] !== idOf(group, i)) {
      return Result.fail(
        failed(`result ${i} is of ${short(result["id"])}, where ${short(idOf(group, i))} was asked for`)
      )
    }
    const scores = parts.map(({ name }) => (named ? field(result["parts"], name) : result["reward"]))
    const broken = scores.findIndex((score) => typeof score !== "number" || !Number.isFinite(Math.fround(score)))
    if (broken >= 0) return Result.fail(noScore({ group, url }, parts[broken]!.name, i, scores[broken]))
    judgements.push(
      judgement(parts.map((part, k) => ({ ...part, raw: scores[k] as number, value: scores[k] as number })))
    )
  }
  return Result.succeed(judgements)
}

/** JSON has no NaN: servers write it as a string, as null, or not as JSON at all. */
const noScore = (
  { group: { row }, url }: Pick<Asked, "group" | "url">,
  part: string,
  response: number,
  said: unknown
): RewardError => {
  const value =
    typeof said === "string" && said.trim() !== "" ? Number(said.replace(/^([-+]?)inf(inity)?$/i, "$1Infinity")) : said
  return typeof value === "number" && !Number.isFinite(value) && /^[-+]?(nan|inf(inity)?)$/i.test(String(said))
    ? new RewardNotFinite({ row, part, response, value, url })
    : new RewardFailed({
        row,
        part,
        reason: `${url}: the score of response ${response} is ${short(said)}, not a finite number of float32`
      })
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined

const short = (value: unknown): string => (JSON.stringify(value) ?? "absent").slice(0, 120)
