import type { Schema } from "effect"
import type { Builtin } from "./builtin.ts"

/** A builtin whose options and rows the caller need not know. */
export interface AnyBuiltin extends Builtin<Schema.Struct<Schema.Struct.Fields>, unknown> {
  readonly summary: string
}

/** An algorithm as the list of commands shows it; its code is loaded when it is wanted. */
export interface BuiltinEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<AnyBuiltin>
}

const builtin = (name: string, summary: string, load: () => Promise<unknown>): BuiltinEntry => ({
  name,
  summary,
  load: async () => ({ ...((await load()) as Omit<AnyBuiltin, "summary">), summary })
})

/** The algorithms that `plumb` has commands for. */
export const builtins: ReadonlyArray<BuiltinEntry> = [
  builtin(
    "sft",
    "supervised fine-tuning on prompts with completions, chats or texts",
    async () => (await import("./supervised/sft-command.ts")).sftCommand
  ),
  builtin(
    "dpo",
    "direct preference optimization and its relatives on chosen and rejected responses",
    async () => (await import("./preference/dpo-command.ts")).dpoCommand
  ),
  builtin(
    "kto",
    "Kahneman-Tversky optimization and its relatives on responses labelled desirable or not",
    async () => (await import("./unpaired/kto-command.ts")).ktoCommand
  ),
  builtin(
    "ppo",
    "proximal policy optimization with a critic, on prompts with a reward",
    async () => (await import("./policy-gradient/commands/ppo-command.ts")).ppoCommand
  ),
  builtin(
    "grpo",
    "group-relative policy optimization and its relatives on prompts with a reward",
    async () => (await import("./policy-gradient/commands/grpo-command.ts")).grpoCommand
  ),
  builtin(
    "rloo",
    "REINFORCE with leave-one-out baselines on prompts with a reward",
    async () => (await import("./policy-gradient/commands/reinforce-commands.ts")).rlooCommand
  ),
  builtin(
    "reinforce",
    "REINFORCE without ratio or clip, against the other responses that ended",
    async () => (await import("./policy-gradient/commands/reinforce-commands.ts")).reinforceCommand
  ),
  builtin(
    "reinforce++",
    "REINFORCE++ on prompts with a reward; --group-baseline for its baseline form",
    async () => (await import("./policy-gradient/commands/reinforce-commands.ts")).reinforcePlusPlusCommand
  ),
  builtin(
    "remax",
    "REINFORCE against the greedy response to each prompt",
    async () => (await import("./policy-gradient/commands/reinforce-commands.ts")).remaxCommand
  ),
  builtin(
    "cpo",
    "contrastive preference optimization on chosen and rejected responses, without a reference",
    async () => (await import("./reference-free/cpo-command.ts")).cpoCommand
  ),
  builtin(
    "simpo",
    "simple preference optimization: mean log-probs with a margin, without a reference",
    async () => (await import("./reference-free/simpo-command.ts")).simpoCommand
  ),
  builtin(
    "alphapo",
    "SimPO with a bent reward of the mean probability (AlphaPO), without a reference",
    async () => (await import("./reference-free/simpo-command.ts")).alphaPoCommand
  ),
  builtin(
    "orpo",
    "odds ratio preference optimization: imitation and preference in one, without a reference",
    async () => (await import("./reference-free/orpo-command.ts")).orpoCommand
  ),
  builtin(
    "tpo",
    "triple preference optimization: pairs with a gold response in `reference`, without a reference policy",
    async () => (await import("./reference-free/tpo-command.ts")).tpoCommand
  ),
  builtin(
    "rm",
    "a reward model from chosen and rejected responses",
    async () => (await import("./reward-model/rm-command.ts")).rmCommand
  ),
  builtin(
    "rm-regression",
    "a reward model of several attributes from graded responses, as HelpSteer's and SteerLM's",
    async () => (await import("./reward-model/regression-command.ts")).regressionCommand
  ),
  builtin(
    "prm",
    "a process reward model from responses whose steps are right or wrong",
    async () => (await import("./reward-model/process-command.ts")).processCommand
  ),
  builtin(
    "spin",
    "self-play: demonstrations against what the model itself writes, iteration by iteration",
    async () => (await import("./iterative/spin-command.ts")).spinCommand
  ),
  builtin(
    "rejection-sampling",
    "imitates the best of the model's own responses to prompts",
    async () => (await import("./iterative/rejection-sampling-command.ts")).rejectionSamplingCommand
  ),
  builtin(
    "online-dpo",
    "DPO and its relatives on pairs of the policy's own responses, judged during training",
    async () => (await import("./iterative/online-dpo-command.ts")).onlineDpoCommand
  ),
  builtin(
    "self-rewarding",
    "the model writes responses, judges them itself, and learns from its judgement, iteration by iteration",
    async () => (await import("./iterative/self-rewarding-command.ts")).selfRewardingCommand
  ),
  builtin(
    "meta-rewarding",
    "self-rewarding in which the model also judges its judgements, and learns to judge from that",
    async () => (await import("./iterative/meta-rewarding/meta-rewarding-command.ts")).metaRewardingCommand
  ),
  builtin(
    "xpo",
    "online DPO of the policy's against the reference's responses, with a bonus for exploring",
    async () => (await import("./iterative/xpo-command.ts")).xpoCommand
  ),
  builtin(
    "nash-md",
    "policy gradient of winning against a mixture of the policy and its reference, to the Nash equilibrium",
    async () => (await import("./iterative/nash-md-command.ts")).nashMdCommand
  ),
  builtin(
    "a2po",
    "A*-PO: regresses log-ratios on advantages over the best policy near the reference",
    async () => (await import("./iterative/a2po-command.ts")).a2poCommand
  ),
  builtin(
    "distill",
    "distillation from a teacher's distributions, stored or asked for, on given rows or on the student's own responses",
    async () => (await import("./distillation/distill-command.ts")).distillCommand
  ),
  builtin(
    "steerlm",
    "fine-tuning conditioned on grades of the responses; plumb generate --attributes steers what comes of it",
    async () => (await import("./steerlm/steerlm-command.ts")).steerLmCommand
  ),
  builtin(
    "steerlm2",
    "SteerLM 2.0 on sampled responses with their log-probs under attribute model, base model and sampling policy",
    async () => (await import("./steerlm/steerlm2-command.ts")).steerLm2Command
  )
]
