import { Effect, Schema } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { availableParallelism } from "node:os"
import { freePort, placeOf } from "./process-place.ts"
import type { StopSignal } from "./stop-listener.ts"
import { UsageError } from "./usage-error.ts"

/** A process of a run ended without a word of its own, or of the first one's. The others were stopped. */
export class ProcessDied extends Schema.TaggedError<ProcessDied>()("ProcessDied", {
  rank: Schema.Int,
  processes: Schema.Int,
  /** How it ended. */
  end: Schema.String,
  /** The last lines that it wrote to standard error. */
  lastWords: Schema.String
}) {
  override get message() {
    const words = this.lastWords === "" ? "" : `\n${this.lastWords}`
    return `process ${this.rank} of ${this.processes} ended by ${this.end}, and the run with it${words}`
  }
}

/** Milliseconds that the others have to say what they make of one's end. */
const GRACE = 15_000

/**
 * Runs this very command line in as many processes, where a run is to be shared and nobody has started them yet.
 *
 * The first one has this process's terminal. Signals go on to all; where one ends badly, all do. This process's exit code is
 * the first one's, or 1.
 *
 * @returns whether they did the work, and this process has nothing left to do
 */
export const launched = (processes: number): Effect.Effect<boolean, UsageError | ProcessDied> =>
  Effect.gen(function* () {
    const { WORLD_SIZE } = process.env
    if (WORLD_SIZE !== undefined) {
      if (processes === 1 || processes === Number(WORLD_SIZE)) return false
      const problems = [`--processes ${processes}: a launcher has started ${WORLD_SIZE} (WORLD_SIZE)`]
      return yield* new UsageError({ problems, help: "leave out --processes where a launcher starts them" })
    }
    if (processes === 1) return false
    const port = yield* Effect.promise(freePort)
    const children = Array.from({ length: processes }, (_, rank) => start(rank, processes, port))
    const forward = (signal: StopSignal) => children.forEach(({ child }) => child.kill(signal))
    process.on("SIGINT", forward).on("SIGTERM", forward)
    const ends = yield* Effect.promise(() => Promise.all(children.map((each) => endOf(each, children))))
    process.off("SIGINT", forward).off("SIGTERM", forward)
    const died = ends.find(({ isFirstToFail }) => isFirstToFail)
    // where it said why, the first one has said it, too, unless it had to be stopped
    if (died !== undefined && (died.signal !== null || ends[0]!.signal !== null)) {
      const { code, lastWords, rank, signal } = died
      return yield* new ProcessDied({ rank, processes, end: signal ?? `exit code ${code}`, lastWords: lastWords() })
    }
    process.exitCode = ends.find(({ code }) => code !== 0)?.code ?? 0
    return true
  })

interface Child {
  readonly rank: number
  readonly child: ChildProcess
  readonly lastWords: () => string
}

const start = (rank: number, processes: number, port: number): Child => {
  const threads = String(Math.max(1, Math.floor(availableParallelism() / processes)))
  const env = {
    OMP_NUM_THREADS: threads,
    ...process.env,
    ...placeOf(rank, processes, port)
  }
  // a process group of its own: the terminal's Ctrl-C comes through this process, once
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env,
    detached: true,
    stdio: rank === 0 ? ["inherit", "inherit", "inherit", "ipc"] : ["ignore", "ignore", "pipe", "ipc"]
  })
  let words = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-4000)))
  return { rank, child, lastWords: () => words.trim().split("\n").slice(-8).join("\n") }
}

/** How a child ended. Where it is the first to end badly, the others are given some time, and are stopped then. */
const endOf = async ({ child, lastWords, rank }: Child, all: ReadonlyArray<Child>) => {
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null]
  const living = all.filter((other) => other.child.exitCode === null && other.child.signalCode === null)
  const isFirstToFail = code !== 0 && all.every((other) => other.child === child || !hasFailed(other.child))
  if (isFirstToFail) {
    const stop = setTimeout(() => living.forEach((other) => other.child.kill("SIGKILL")), GRACE)
    void Promise.all(living.map((other) => once(other.child, "close"))).then(() => clearTimeout(stop))
  }
  return { rank, code, signal, isFirstToFail, lastWords }
}

const hasFailed = ({ exitCode, signalCode }: ChildProcess): boolean =>
  signalCode !== null || (exitCode !== null && exitCode !== 0)

/** A process that a launcher started ends, with a checkpoint, once the launcher is gone. */
export const endWithLauncher = (): void => {
  if (process.channel === undefined) return
  process.channel.unref()
  process.on("disconnect", () => process.kill(process.pid, "SIGTERM"))
}
