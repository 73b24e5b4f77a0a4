import { ModelRuntime } from "@plumbline/runtime"
import { type Finding, type FirstStep, fromFirst, Progress, type RecipeServices } from "@plumbline/training"
import { Effect } from "effect"
import type { CommandFailure } from "../command.ts"
import type { Costs } from "../plan/costs.ts"
import { memoryTotal } from "../plan/planned-costs.ts"
import { examined } from "../before-run/examined.ts"
import { failureFinding } from "./failure.ts"
import { firstStepFindings } from "./first-step.ts"
import { availableBytes, roomFinding, usedFinding } from "./memory.ts"
import { accepting, refusedChecks } from "./report.ts"
import { otherSplit, splitFinding } from "./splits.ts"

export interface Patient {
  /** The run; it is made anew each time. */
  readonly run: Effect.Effect<unknown, CommandFailure, RecipeServices>
  /** What it would take, where that can be told before. */
  readonly costs?: Effect.Effect<Costs, CommandFailure> | undefined
  /** Checks whose refusal is meant. */
  readonly accepted: ReadonlyArray<string>
}

/** What a run is found to be, and its first step where it came so far. */
export interface Diagnosis {
  readonly findings: ReadonlyArray<Finding>
  readonly first: FirstStep | undefined
}

/**
 * Examines a run: whether memory for it is there, then its first step, then the same step with its batch split otherwise.
 * What refuses it ends the examination where going on would only repeat it.
 */
export const diagnose = Effect.fnUntraced(function* ({ accepted, costs, run }: Patient) {
  const runtime = yield* ModelRuntime
  const { precision } = runtime
  const before = costs === undefined ? [] : yield* fromFirst(room(costs, runtime))
  const settled = (findings: ReadonlyArray<Finding>, first?: FirstStep): Diagnosis => ({
    findings: accepting(findings, accepted),
    first
  })
  if (refusedChecks(settled(before).findings).length > 0) return settled(before)
  const { findings, outcome } = yield* examined(run)
  const told = [...before, ...findings]
  if ("failure" in outcome) return settled([...told, failureFinding(outcome.failure)])
  const { step } = outcome
  const seen = [...told, ...firstStepFindings(step, precision), ...usedFinding(runtime)]
  const split = otherSplit(step)
  if (split === undefined) return settled(seen, step)
  // what the run notes was noted already
  const again = yield* examined(run, { split }).pipe(Effect.provide(Progress.layerSilent))
  const compared =
    "failure" in again.outcome ? notCompared(again.outcome.failure) : splitFinding(step, again.outcome.step, precision)
  return settled([...seen, compared], step)
})

/** What keeps a plan from being made keeps the run from beginning, too, which says it with all that leads there. */
const room = (costs: Effect.Effect<Costs, CommandFailure>, runtime: Parameters<typeof availableBytes>[0]) =>
  costs.pipe(
    Effect.map((planned) => [roomFinding(memoryTotal(planned), availableBytes(runtime))]),
    Effect.catch(() => Effect.succeed([]))
  )

const notCompared = ({ message }: CommandFailure): Finding => ({
  check: "micro-batches",
  verdict: "warning",
  text: `not compared: split otherwise, the step failed: ${message}`
})
