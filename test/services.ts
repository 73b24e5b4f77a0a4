import { type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { expect } from "vitest"
import { startPlumb, WASM } from "./plumb.ts"

export interface Service {
  readonly child: ChildProcess
  /** Without a path. */
  readonly url: string
  readonly port: string
}

/** Starts `plumb serve` or `serve-critic` on a port, 0 for any. @param started where it is noted, to be ended with the tests */
export const startService = async (
  command: ReadonlyArray<string>,
  port: string,
  started: Array<ChildProcess>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Service> => {
  const child = startPlumb([...command, "--port", port, ...WASM], undefined, environment)
  started.push(child)
  const url = await new Promise<string>((resolve, reject) => {
    let said = ""
    child.stderr!.on("data", (chunk) => {
      said += String(chunk)
      const found = /on (http:\/\/[\d.]+:\d+)/.exec(said)
      if (found !== null) resolve(found[1]!)
    })
    child.on("close", () => reject(new Error(said)))
  })
  return { child, url, port: new URL(url).port }
}

export type Metrics = Readonly<Record<string, number>>

/** Whole lines of a run's metrics. */
export const metricsOf = (output: string): ReadonlyArray<Metrics> => {
  const file = join(output, "metrics.jsonl")
  if (!existsSync(file)) return []
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1)
  return whole.map((line) => JSON.parse(line) as Metrics)
}

/** Fails unless both runs have so many steps, the same but for what the clock decides. */
export const expectSame = (run: string, other: string, steps: number, tolerance = 1e-5) => {
  const [a, b] = [metricsOf(run), metricsOf(other)]
  expect([a.length, b.length]).toEqual([steps, steps])
  for (const [i, step] of a.entries()) {
    expect(Object.keys(b[i]!).toSorted()).toEqual(Object.keys(step).toSorted())
    for (const [name, value] of Object.entries(step)) {
      if (name.startsWith("timers/") || name === "tokens_per_second") continue
      expect(Math.abs(b[i]![name]! - value), `${name} of step ${i + 1}`).toBeLessThanOrEqual(tolerance)
    }
  }
}

export interface Ended {
  readonly code: number | null
  readonly said: string
  /** From the blow to the end. */
  readonly seconds: number
}

/** Starts a run, strikes once it has made so many steps, and waits for its end. */
export const struck = async (
  args: ReadonlyArray<string>,
  output: string,
  step: number,
  strike: () => void,
  environment: Readonly<Record<string, string>> = {}
): Promise<Ended> => {
  const running = startPlumb(args, undefined, environment)
  let said = ""
  running.stderr!.on("data", (chunk) => (said += String(chunk)))
  const closed = once(running, "close")
  while (metricsOf(output).length < step && running.exitCode === null) await sleep(3)
  strike()
  const at = Date.now()
  const [code] = await closed
  return { code: code as number | null, said, seconds: (Date.now() - at) / 1000 }
}
