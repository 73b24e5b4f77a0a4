import { runCommandLine } from "@plumbline/cli/run-command-line"
import { tf } from "@plumbline/runtime"
import { Console } from "node:console"
import { expect } from "vitest"
import { type Environment, type Finished } from "./plumb.ts"
import { root } from "./reference-files.ts"

/** The command asked for last, which the next one waits for. */
let last: Promise<unknown> = Promise.resolve()

/**
 * Runs a command line to its end in the test's own process: what `plumb` runs once it has started, a second of processor time
 * cheaper. Commands wait for one another, as working directory, variables and both streams are the process's.
 *
 * It fails where the command leaves tensors or listeners for signals behind. What a process as such does needs `plumb`: signals,
 * standard input, limits, `--processes`, a pipe that breaks, what is thrown where nobody waits.
 */
export const plumbHere = (
  args: ReadonlyArray<string>,
  cwd = root,
  environment: Environment = {}
): Promise<Finished> => {
  const mine = last.then(() => runHere(args, cwd, environment))
  last = mine.catch(() => {})
  return mine
}

const runHere = async (args: ReadonlyArray<string>, cwd: string, environment: Environment): Promise<Finished> => {
  const before = { cwd: process.cwd(), exitCode: process.exitCode, console: globalThis.console, left: left() }
  const variables = changeVariables({ NO_COLOR: "1", ...environment })
  const [stdout, stderr] = [capture(process.stdout), capture(process.stderr)]
  // Vitest's own console would take what is said there
  globalThis.console = new Console(process.stdout, process.stderr)
  process.exitCode = undefined
  let code: number
  try {
    process.chdir(cwd)
    await runCommandLine(args)
    code = Number(process.exitCode ?? 0)
  } finally {
    process.chdir(before.cwd)
    process.exitCode = before.exitCode
    globalThis.console = before.console
    for (const stream of [stdout, stderr]) stream.restore()
    changeVariables(variables)
  }
  expect(left(), `what plumb ${args.join(" ")} leaves behind`).toEqual(before.left)
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

/** What a command takes and has to give back. */
const left = () => ({
  tensors: tf.engine().state.numTensors,
  SIGINT: process.listenerCount("SIGINT"),
  SIGTERM: process.listenerCount("SIGTERM")
})

/** Sets variables, or takes them away. @returns what they were */
const changeVariables = (variables: Readonly<Record<string, string | undefined>>) => {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  return Object.fromEntries(before)
}

/** Keeps what is written to a stream from going there. */
const capture = (stream: NodeJS.WriteStream) => {
  const chunks: Array<string> = []
  const { write } = stream
  stream.write = (chunk: string | Uint8Array, ...more: ReadonlyArray<unknown>) => {
    chunks.push(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString())
    const written = more.at(-1)
    if (typeof written === "function") written()
    return true
  }
  return { text: () => chunks.join(""), restore: () => void (stream.write = write) }
}
