import { builtins } from "@plumbline/algorithms/commands"
import type { Command } from "./command.ts"

/** Commands that are no algorithm, by what they are for. */
export const modelCommands: ReadonlyArray<Command> = [
  {
    name: "generate",
    usage: "--model DIR (--prompt TEXT | --input FILE)",
    summary: "continue prompts",
    load: async () => (await import("./commands/generate.ts")).generateCommand
  },
  {
    name: "score",
    usage: "--model DIR (--text TEXT | --input FILE)",
    summary: "log-probability of every token",
    load: async () => (await import("./commands/score.ts")).scoreCommand
  },
  {
    name: "merge",
    usage: "--model DIR --adapter DIR --output DIR",
    summary: "write a model with an adapter merged into its weights",
    load: async () => (await import("./commands/merge.ts")).mergeCommand
  },
  {
    name: "reward",
    usage: "--model DIR --input FILE",
    summary: "reward of each row, by a reward model",
    load: async () => (await import("./commands/reward.ts")).rewardCommand
  },
  {
    name: "rm-eval",
    usage: "--model DIR --input FILE",
    summary: "accuracy and calibration of a reward model on preference pairs",
    load: async () => (await import("./commands/rm-eval.ts")).rmEvalCommand
  },
  {
    name: "tokenize",
    usage: "--model DIR (--text TEXT | --input FILE)",
    summary: "token ids of texts and chats",
    load: async () => (await import("./commands/tokenize.ts")).tokenizeCommand
  },
  {
    name: "annotate",
    usage: "--model DIR --input FILE --output FILE",
    summary: "add an attribute model's grades to rows",
    load: async () => (await import("./commands/annotate.ts")).annotateCommand
  },
  {
    name: "steerlm2-data",
    usage: "--model DIR --base DIR --attribute-model DIR --input FILE --output FILE",
    summary: "sample responses for grades and weigh them, for plumb steerlm2",
    load: async () => (await import("./commands/steerlm2-data.ts")).steerLm2DataCommand
  },
  {
    name: "teacher-logits",
    usage: "--model DIR --train FILE --output FILE",
    summary: "write a teacher's most likely tokens, for plumb distill",
    load: async () => (await import("./commands/teacher-logits.ts")).teacherLogitsCommand
  },
  {
    name: "constitution",
    usage: "--model DIR --input FILE --constitution FILE --output FILE",
    summary: "revisions or pairs by principles, from the model itself",
    load: async () => (await import("./commands/constitution.ts")).constitutionCommand
  },
  {
    name: "convert",
    usage: "--from DATASET --input FILE --output FILE",
    summary: "make training data of a published data set",
    load: async () => (await import("./commands/convert.ts")).convertCommand
  },
  {
    name: "serve",
    usage: "--model DIR [--port N]",
    summary: "serve OpenAI's API over HTTP",
    load: async () => (await import("./commands/serve.ts")).serveCommand
  },
  {
    name: "serve-critic",
    usage: "--model DIR --output DIR [--port N]",
    summary: "serve a critic to plumb ppo --critic-url",
    load: async () => (await import("./commands/serve-critic.ts")).serveCriticCommand
  }
]

export const recipeCommand: Command = {
  name: "run",
  usage: "RECIPE.ts [--param value…]",
  summary: "run a recipe; its parameters are flags",
  load: async () => (await import("./commands/run.ts")).runCommand
}

export const runCommands: ReadonlyArray<Command> = [
  {
    name: "doctor",
    usage: "ALGORITHM|run RECIPE.ts …",
    summary: "what would go wrong with a run, before it is started",
    load: async () => (await import("./commands/doctor.ts")).doctorCommand
  },
  {
    name: "plan",
    usage: "ALGORITHM|run RECIPE.ts …",
    summary: "what a run will take: steps, time, memory, disk; starts nothing",
    load: async () => (await import("./commands/plan.ts")).planCommand
  },
  {
    name: "bench",
    usage: "train|dpo|adapters|generate|grpo|reward [--shape NAME]",
    summary: "how fast this machine trains, generates and scores",
    load: async () => (await import("./commands/bench.ts")).benchCommand
  },
  {
    name: "runs",
    usage: "",
    summary: "list the runs of a store",
    load: async () => (await import("./commands/runs.ts")).runsCommand
  },
  {
    name: "show",
    usage: "RUN",
    summary: "status, metrics and charts of a run",
    load: async () => (await import("./commands/show.ts")).showCommand
  },
  {
    name: "rollouts",
    usage: "RUN [--step N] [--row N]",
    summary: "responses a run learnt from, their rewards, and one token by token",
    load: async () => (await import("./commands/rollouts.ts")).rolloutsCommand
  },
  {
    name: "resume",
    usage: "RUN",
    summary: "go on with a run that was stopped or killed",
    load: async () => (await import("./commands/resume.ts")).resumeCommand
  }
]

/** One command for each built-in algorithm. */
export const trainingCommands: ReadonlyArray<Command> = builtins.map(({ load, name, summary }) => ({
  name,
  usage: "--model DIR --train FILE --output DIR",
  summary,
  load: async () => {
    const [{ trainCommand }, builtin] = await Promise.all([import("./commands/train.ts"), load()])
    return trainCommand(builtin)
  }
}))
