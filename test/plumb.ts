import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { root } from "./reference-files.ts"

export interface Finished {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The backend that every installation has, for tests of what no backend decides. */
export const WASM = ["--backend", "wasm"] as const

export type Environment = Readonly<Record<string, string>>

const COMMAND = join(root, "node_modules", ".bin", "plumb")

/** Starts the real command line. */
export const startPlumb = (args: ReadonlyArray<string>, cwd = root, environment: Environment = {}): ChildProcess =>
  start([COMMAND, ...args], cwd, environment)

const start = ([command, ...args]: ReadonlyArray<string>, cwd: string, environment: Environment): ChildProcess =>
  spawn(command!, args, { cwd, env: { ...process.env, NO_COLOR: "1", ...environment } })

/** Runs the real command line to its end. @param dataLimit KiB that Linux gives the process for its data */
export const plumb = (
  args: ReadonlyArray<string>,
  cwd = root,
  environment: Environment = {},
  dataLimit?: number
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const limited = ["bash", "-c", `ulimit -d ${dataLimit} && exec "$@"`, "bash"]
    const child = start([...(dataLimit === undefined ? [] : limited), COMMAND, ...args], cwd, environment)
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)))
    child.stderr?.on("data", (chunk) => (stderr += String(chunk)))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
