import type { Finding } from "@plumbline/training"
import type { CommandFailure } from "../command.ts"

/** The kind of check that a failure belongs to. */
const CHECKS: Readonly<Record<string, string>> = {
  ChatTemplateInvalid: "template",
  DoubledBos: "bos",
  EmptyCompletion: "loss-mask",
  EmptyLossMask: "loss-mask",
  NoRowsLeft: "prompt-length",
  NonFiniteStep: "first-step",
  OutOfMemory: "memory",
  RowTooLong: "prompt-length",
  SamplerApart: "sampler",
  StepOutOfMemory: "memory"
}

/** What would end a run before its first step, or at it. */
export const failureFinding = ({ _tag, message }: CommandFailure): Finding => ({
  check: CHECKS[_tag] ?? "run",
  verdict: "refused",
  text: message
})
