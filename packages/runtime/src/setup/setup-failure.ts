import { shortened } from "@plumbline/tfjs-backend-torch/setup"
import { spawnSync } from "node:child_process"

/** Why there is no TensorFlow backend now, and what to do about it. */
export class SetupFailure extends Error {}

/** Runs a command. @returns what it wrote */
export const run = (command: string, args: ReadonlyArray<string>, what: string, cwd?: string): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    ...(cwd === undefined ? {} : { cwd })
  })
  if (error !== undefined) throw new SetupFailure(`${what}: ${error.message}`)
  if (status !== 0) throw new SetupFailure(`${what}: ${causeIn(stderr)}`)
  return stdout.trim()
}

/** The cause, which npm says first, compilers and Python last. */
const causeIn = (output: string): string => {
  const lines = output.trim().split("\n")
  return (lines[0]!.startsWith("npm error") ? lines.slice(0, 4) : lines.slice(-5)).map(shortened).join("\n")
}
