import { Cause, Context, Effect, Exit, type Scope } from "effect"
import { deserialize, serialize } from "node:v8"
import { torchBackend, torchFailure } from "./backends/torch.ts"
import { ProcessLost } from "./device-failure.ts"
import { BackendUnavailable } from "./model-runtime.ts"

/**
 * What processes that share a run have in parts: the moments and sums of large parameters (and what is exact of them where
 * products read less), or these parameters, too.
 *
 * @see Rajbhandari et al. 2020, ZeRO, stages 2 and 3, https://arxiv.org/abs/1910.02054
 */
export type Sharding = "gradients" | "full"

/** This process among those that compute one run together. */
export interface ProcessesShape {
  /** 0 is the first, which alone writes the run. */
  readonly rank: number
  readonly size: number
  /** What they have in parts. */
  readonly sharding: Sharding
  /**
   * Everyone's value, by rank; plain data and typed arrays. All processes call it together, and it waits for all, the event
   * loop standing still.
   *
   * @throws where one of them is gone, has failed, does not come in time or made other passes, what `computing` makes
   * `ProcessLost` of; so does, on a GPU, whatever reads a tensor then
   */
  readonly exchange: <A>(value: A) => ReadonlyArray<A>
}

export const alone: ProcessesShape = { rank: 0, size: 1, sharding: "gradients", exchange: (value) => [value] }

/** The processes of this run: one, unless a launcher started several. */
export const Processes = Context.Reference<ProcessesShape>("@plumbline/runtime/Processes", {
  defaultValue: () => alone
})

/** How a process finds the others. */
export interface Meeting {
  readonly rank: number
  readonly size: number
  readonly host: string
  readonly port: number
  /** Whether the first process is where the others meet; else a launcher is. */
  readonly firstServes: boolean
  /** Keeps apart the attempts of a launcher that starts everyone again. */
  readonly prefix: string
  /** What the processes have in parts; the same in all. */
  readonly sharding: Sharding
  /**
   * Seconds that a process waits for another one, or its device for other devices, before all fail with `ProcessLost`: one
   * that loads a large model, or writes a large checkpoint, keeps the others waiting.
   */
  readonly patience: number
}

/**
 * Joins the others, on the backend "torch", until the scope ends; where it ends in a failure the others hear of it.
 *
 * Tensors go between devices by NCCL and through the meeting place between hosts, which serves small models only.
 */
export const joinProcesses = (meeting: Meeting): Effect.Effect<ProcessesShape, BackendUnavailable, Scope.Scope> =>
  Effect.acquireRelease(join(meeting), ({ rank }, exit) =>
    Effect.sync(() => {
      const { addon } = torchBackend()
      // of several reasons the first one counts: that of who fails because another did is the same, or comes later
      if (Exit.isFailure(exit)) addon.groupFail(reasonOf(Cause.squash(exit.cause), rank))
      addon.groupLeave()
    })
  )

/**
 * What a process that joined others does with them. Where they can no longer be waited for, it ends with `ProcessLost`, also while it
 * waits for something else, such as a reward that never comes; code that does not give the event loop back ends itself.
 */
export const whileTogether = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ProcessLost, R> =>
  Effect.raceFirst(effect, lost)

const lost = Effect.sync(() => torchBackend().addon.groupFault()).pipe(
  Effect.delay("1 second"),
  Effect.repeat({ until: (reason) => reason !== "" }),
  Effect.flatMap((reason) => new ProcessLost({ reason }))
)

const reasonOf = (failure: unknown, rank: number): string => {
  const lost = failure instanceof ProcessLost ? failure : torchFailure(failure)
  if (lost instanceof ProcessLost) return lost.reason
  return `process ${rank} has failed: ${failure instanceof Error ? failure.message : String(failure)}`
}

const join = ({ firstServes, patience, sharding, ...meeting }: Meeting) =>
  Effect.tryPromise({
    try: async (): Promise<ProcessesShape> => {
      const { addon, deviceIndex } = torchBackend()
      const meetsHere = firstServes && meeting.rank === 0
      await addon.groupJoin({ ...meeting, meetsHere, patience: Math.ceil(patience * 1000), device: deviceIndex })
      return {
        rank: meeting.rank,
        size: meeting.size,
        sharding,
        exchange: <A>(value: A) => addon.groupExchange(serialize(value)).map((bytes) => deserialize(bytes) as A)
      }
    },
    catch: (cause) => {
      const { host, port, rank, size } = meeting
      const reason = `process ${rank} of ${size} could not join the others at ${host}:${port}: ${(cause as Error).message}`
      return new BackendUnavailable({ backend: "torch", reason })
    }
  })
