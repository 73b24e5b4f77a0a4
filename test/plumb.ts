import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { root } from "./reference-files.ts"

export interface Finished {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts the real command line. */
export const startPlumb = (args: ReadonlyArray<string>, cwd = root): ChildProcess =>
  spawn(join(root, "node_modules", ".bin", "plumb"), args, { cwd, env: { ...process.env, NO_COLOR: "1" } })

/** Runs the real command line to its end. */
export const plumb = (args: ReadonlyArray<string>, cwd = root): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = startPlumb(args, cwd)
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)))
    child.stderr?.on("data", (chunk) => (stderr += String(chunk)))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
