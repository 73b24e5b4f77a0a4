import type { Schema } from "effect"
import type { Builtin } from "./builtin.ts"
import { distillCommand } from "./distillation/distill-command.ts"
import { metaRewardingCommand } from "./iterative/meta-rewarding/meta-rewarding-command.ts"
import { onlineDpoCommand } from "./iterative/online-dpo-command.ts"
import { rejectionSamplingCommand } from "./iterative/rejection-sampling-command.ts"
import { selfRewardingCommand } from "./iterative/self-rewarding-command.ts"
import { a2poCommand } from "./iterative/a2po-command.ts"
import { nashMdCommand } from "./iterative/nash-md-command.ts"
import { xpoCommand } from "./iterative/xpo-command.ts"
import { spinCommand } from "./iterative/spin-command.ts"
import { grpoCommand } from "./policy-gradient/commands/grpo-command.ts"
import { ppoCommand } from "./policy-gradient/commands/ppo-command.ts"
import {
  reinforceCommand,
  reinforcePlusPlusCommand,
  remaxCommand,
  rlooCommand
} from "./policy-gradient/commands/reinforce-commands.ts"
import { dpoCommand } from "./preference/dpo-command.ts"
import { cpoCommand } from "./reference-free/cpo-command.ts"
import { orpoCommand } from "./reference-free/orpo-command.ts"
import { alphaPoCommand, simpoCommand } from "./reference-free/simpo-command.ts"
import { tpoCommand } from "./reference-free/tpo-command.ts"
import { ktoCommand } from "./unpaired/kto-command.ts"
import { processCommand } from "./reward-model/process-command.ts"
import { regressionCommand } from "./reward-model/regression-command.ts"
import { rmCommand } from "./reward-model/rm-command.ts"
import { steerLm2Command } from "./steerlm/steerlm2-command.ts"
import { steerLmCommand } from "./steerlm/steerlm-command.ts"
import { sftCommand } from "./supervised/sft-command.ts"

/** A builtin whose options and rows the caller need not know. */
export type AnyBuiltin = Builtin<Schema.Struct<Schema.Struct.Fields>, unknown>

/** The algorithms that `plumb` has commands for. */
export const builtins: ReadonlyArray<AnyBuiltin> = [
  sftCommand,
  dpoCommand,
  ktoCommand,
  ppoCommand,
  grpoCommand,
  rlooCommand,
  reinforceCommand,
  reinforcePlusPlusCommand,
  remaxCommand,
  cpoCommand,
  simpoCommand,
  alphaPoCommand,
  orpoCommand,
  tpoCommand,
  rmCommand,
  regressionCommand,
  processCommand,
  spinCommand,
  rejectionSamplingCommand,
  onlineDpoCommand,
  selfRewardingCommand,
  metaRewardingCommand,
  xpoCommand,
  nashMdCommand,
  a2poCommand,
  distillCommand,
  steerLmCommand,
  steerLm2Command
] as ReadonlyArray<unknown> as ReadonlyArray<AnyBuiltin>
