import { countAhead, finishRow, type Group, isScored, knownTokens, type SampleRow, tellScores } from "./group.ts"
import type { StopMatch, TokenLogProb } from "../request.ts"
import type { Scheduler } from "./scheduler.ts"
import type { Flight, StepResult } from "./step.ts"

/** What a step did, for counters. */
export interface Committed {
  readonly promptTokens: number
  readonly sampledTokens: number
  /** Tokens of drafts, and those of them that were drawn in fact. */
  readonly draftedTokens: number
  readonly acceptedTokens: number
}

/** Waits for a step, writes its results into its rows, tells who listens, ends what has ended. */
export const commitStep = (scheduler: Scheduler, { passes, plan }: Flight): Committed => {
  const results = passes.map(({ drawn, ids, read, version }) => {
    const result = read()
    ids.dispose()
    countAhead(drawn, -1)
    scorePrompts(result)
    return { result, version }
  })
  for (const { count, row } of plan.feeds) {
    // tokens of a prompt; those of a response follow when it ends
    if (count > 1) scheduler.keep(row)
    if (row.kind === "prefix" && row.held === knownTokens(row)) scheduler.settle(row)
  }
  const taken: Taken = new Map()
  for (const { result, version } of results) takeTokens(scheduler, result, version, taken)
  let [draftedTokens, acceptedTokens] = [0, 0]
  for (const [row, draft] of plan.drafts) {
    const right = Math.max(0, (taken.get(row) ?? 0) - 1)
    row.drafts.learn(right, draft.length)
    draftedTokens += draft.length
    acceptedTokens += right
  }
  const fed = plan.feeds.reduce((sum, { count }) => sum + count, 0)
  const drawing = results.flatMap(({ result }) => result.drawn.filter(({ drafted }) => drafted === 0))
  return {
    promptTokens: fed - drawing.length,
    sampledTokens: [...taken.values()].reduce((sum, count) => sum + count, 0),
    draftedTokens,
    acceptedTokens
  }
}

/** Tokens that rows got in a step. */
type Taken = Map<SampleRow, number>

const takeTokens = (scheduler: Scheduler, result: StepResult, version: number, taken: Taken): void => {
  const broken = new Map<Group, string>()
  result.drawn.forEach(({ after, drafted, row }, i) => {
    // a row that ended while the host was a step behind, or is about to
    if (row.group.gone || broken.has(row.group) || row.state !== "running") return
    // a draft that was not drawn, and what stands behind it
    if (drafted > 0 && (taken.get(row) !== drafted || row.ids.at(-1) !== after)) return
    if (result.ids[i]! < 0) {
      broken.set(row.group, `the logits of weights version ${version} are not finite`)
      return
    }
    taken.set(row, drafted + 1)
    // keys and values of a draft that was drawn are in the cache
    if (drafted > 0) row.held += 1
    const fault = takeToken(scheduler, row, result, i, version)
    if (fault !== undefined) broken.set(row.group, fault)
  })
  for (const [group, reason] of broken) {
    scheduler.drop(group)
    group.listener.onFailed(reason)
  }
}

/** @returns why the response cannot go on, where it cannot */
const takeToken = (
  scheduler: Scheduler,
  row: SampleRow,
  result: StepResult,
  i: number,
  version: number
): string | undefined => {
  const { group } = row
  const token = {
    _tag: "Token",
    sample: row.sample,
    index: row.ids.length,
    id: result.ids[i]!,
    samplingLogProb: result.samplingLogProbs[i]!,
    policyLogProb: result.policyLogProbs[i]!,
    policyVersion: version,
    topLogProbs: result.top.get(i) ?? NONE
  } as const
  row.ids.push(token.id)
  row.samplingLogProbs.push(token.samplingLogProb)
  row.policyLogProbs.push(token.policyLogProb)
  row.policyVersions.push(version)
  row.topLogProbs.push(token.topLogProbs)
  group.listener.onEvent?.(token)
  const last = row.ids.length >= group.room
  const ended = accepted(row, token.id, last)
  if ("fault" in ended) return ended.fault
  if (ended.stop === undefined && !last) return undefined
  finishRow(row, ended.stop)
  scheduler.settle(row)
  return undefined
}

/** Stop strings are found with a tokenizer that may be anybody's, and know other ids than the model. */
const accepted = (
  { rules }: SampleRow,
  id: number,
  last: boolean
): { readonly stop: StopMatch | undefined } | { readonly fault: string } => {
  try {
    return { stop: rules.accept(id, last) }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { fault: `the tokenizer cannot read token ${id}: ${reason}` }
  }
}

const NONE: ReadonlyArray<TokenLogProb> = []

const scorePrompts = ({ scored }: StepResult): void => {
  for (const { logProb, prefix, t, top } of scored) {
    const scores = prefix.group.scores!
    const first = !isScored(prefix.group)
    scores.logProbs[t] = logProb
    scores.topLogProbs[t] = top
    scores.known = Math.max(scores.known, t + 1)
    if (first && isScored(prefix.group)) tellScores(prefix.group)
  }
}
