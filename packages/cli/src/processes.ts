import {
  alone,
  BackendUnavailable,
  joinProcesses,
  type Meeting,
  ModelRuntime,
  type ProcessesShape
} from "@plumbline/runtime"
import { option, Positive } from "@plumbline/training"
import { Effect, Schema, type Scope } from "effect"
import { UsageError } from "./usage-error.ts"

export const ProcessCount = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1024 }))

const processesField = option(
  ProcessCount,
  1,
  "processes on this machine that share each step, on cuda one a GPU; torch. A launcher such as torchrun starts more"
)

export const Sharding = Schema.Literals(["gradients", "full"])

const shardingField = option(
  Sharding,
  "gradients",
  "what these processes divide: gradients, moments and exact weights (ZeRO 1 and 2), or all large weights, too, which are gathered block by block (full: FSDP, ZeRO 3)"
)

export const Patience = Positive

const patienceField = option(
  Patience,
  1800,
  "seconds that one of these processes waits for another, also on the GPU, before the run ends: more than the longest reward, evaluation or checkpoint takes"
)

/** What a run's processes share, as flags of every command that starts some. */
export const sharedFields = { processes: processesField, sharding: shardingField, patience: patienceField } as const

type Environment = Readonly<Record<string, string | undefined>>

/** Which of its machine's devices a process computes on: torchrun and Plumbline's own launcher say so. */
export const deviceIndex = ({ LOCAL_RANK }: Environment = process.env): number => Number(LOCAL_RANK ?? 0)

/** Whether this process speaks for the run; of several the first one does. */
export const isFirstProcess = ({ RANK, WORLD_SIZE }: Environment = process.env): boolean =>
  WORLD_SIZE === undefined || Number(RANK ?? 0) === 0

/** Where a process is among the others. */
export type Place = Omit<Meeting, "sharding" | "patience">

/** How the processes of a run work together. */
export type Sharing = Pick<Meeting, "sharding" | "patience">

/**
 * This process among those that a launcher started: torchrun's convention, which Slurm's and Kubernetes' operators follow.
 * Undefined where it is alone.
 */
export const placeAmongProcesses = (
  environment: Environment = process.env
): Effect.Effect<Place | undefined, UsageError> => {
  const { MASTER_ADDR, TORCHELASTIC_RUN_ID, TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_USE_AGENT_STORE } = environment
  const size = wholeNumber(environment["WORLD_SIZE"])
  if (environment["WORLD_SIZE"] === undefined || size === 1) return Effect.succeed(undefined)
  const rank = wholeNumber(environment["RANK"])
  const port = wholeNumber(environment["MASTER_PORT"])
  const problems = [
    ...(size === undefined || size < 1 ? [wrong("WORLD_SIZE", environment, "how many processes there are")] : []),
    ...(rank === undefined || rank >= (size ?? Infinity) ? [wrong("RANK", environment, "0 to WORLD_SIZE - 1")] : []),
    ...(wholeNumber(environment["LOCAL_RANK"] ?? "0") === undefined
      ? [wrong("LOCAL_RANK", environment, "which of its machine's processes it is, from 0")]
      : []),
    ...(MASTER_ADDR === undefined || MASTER_ADDR === ""
      ? [wrong("MASTER_ADDR", environment, "the host of process 0")]
      : []),
    ...(port === undefined || port < 1 || port > 65_535
      ? [wrong("MASTER_PORT", environment, "a free port of that host")]
      : [])
  ]
  if (problems.length > 0) return Effect.fail(new UsageError({ problems, help: HELP }))
  return Effect.succeed({
    rank: rank!,
    size: size!,
    host: MASTER_ADDR!,
    port: port!,
    firstServes: TORCHELASTIC_USE_AGENT_STORE !== "True",
    prefix: ["plumbline", TORCHELASTIC_RUN_ID ?? "run", TORCHELASTIC_RESTART_COUNT ?? "0"].join("/")
  })
}

const HELP = "torchrun --no-python … plumb … sets them all; on one machine --processes N needs no launcher"

const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined

const wrong = (name: string, environment: Environment, meaning: string): string => {
  const given = environment[name]
  return `WORLD_SIZE is set, and ${name} is ${given === undefined ? "not" : `"${given}"`}: it should be ${meaning}`
}

/** Joins the others, on the machine that is there, until the scope ends. */
export const joined = (
  place: Place | undefined,
  { patience, sharding }: Sharing
): Effect.Effect<ProcessesShape, BackendUnavailable | UsageError, ModelRuntime | Scope.Scope> =>
  Effect.gen(function* () {
    if (place === undefined) {
      if (sharding === "gradients") return alone
      const problems = ["--sharding full: one process has nobody to hold its weights with"]
      return yield* new UsageError({ problems, help: "add --processes 2 or more, or take --sharding gradients" })
    }
    const { backend } = yield* ModelRuntime
    if (backend !== "torch") {
      return yield* new BackendUnavailable({ backend, reason: "several processes share a step on torch alone" })
    }
    return yield* joinProcesses({ ...place, patience, sharding })
  })
