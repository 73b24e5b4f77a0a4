import type { Finding } from "@plumbline/training"
import { Schema } from "effect"

/** Checks whose refusal may be meant, so that it can be accepted. Others end a run that is started all the same. */
export const ACCEPTABLE = ["end-of-turn", "prompt-length", "first-step", "sampler", "micro-batches", "memory"] as const

/** A run should not begin as it is. */
export class RunRefused extends Schema.TaggedError<RunRefused>()("RunRefused", {
  checks: Schema.Array(Schema.String)
}) {
  override get message() {
    return `this run should not begin as it is: ${this.checks.join(", ")}`
  }

  /** How to go on; what ends the run all the same cannot be accepted. */
  get advice(): string | undefined {
    return this.checks.every((check) => ACCEPTABLE.some((name) => name === check))
      ? `where that is meant: --accept ${this.checks.join(",")}`
      : undefined
  }
}

/** The findings with those refusals that are accepted as warnings. */
export const accepting = (findings: ReadonlyArray<Finding>, accepted: ReadonlyArray<string>): ReadonlyArray<Finding> =>
  findings.map((finding) =>
    finding.verdict === "refused" && accepted.includes(finding.check)
      ? { ...finding, verdict: "warning", text: `${finding.text} (accepted)` }
      : finding
  )

export const refusedChecks = (findings: ReadonlyArray<Finding>): ReadonlyArray<string> => [
  ...new Set(findings.filter(({ verdict }) => verdict === "refused").map(({ check }) => check))
]

/** One finding a line, the check and its verdict in front. */
export const reportText = (findings: ReadonlyArray<Finding>): string => {
  const width = Math.max(...findings.map(({ check }) => check.length))
  return findings.map(({ check, text, verdict }) => `${verdict.padEnd(7)}  ${check.padEnd(width)}  ${text}`).join("\n")
}
