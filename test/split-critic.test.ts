import { type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, startPlumb, WASM } from "./plumb.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
const servers: Array<ChildProcess> = []
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-critic-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:`, answer: String(i) }))
  writeFileSync(join(folder, "prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
})
afterAll(() => {
  for (const server of servers) server.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const model = join(golden, "models", "llama")
const flags =
  "--reward exact_answer --batch-size 4 --inner-epochs 2 --samples 2 --max-steps 12 --save-every 2 --max-new-tokens 12 " +
  "--kl-coefficient 0.1 --learning-rate 1e-3 --critic-timeout 5 --seed 7"

const args = (output: string, ...more: ReadonlyArray<string>) => {
  const files = ["--model", model, "--train", join(folder, "prompts.jsonl"), "--output", output]
  return ["ppo", ...files, ...flags.split(" "), ...more, ...WASM]
}

/** Serves a critic on this port, 0 for any; @returns the process and its address. */
const served = async (port: string) => {
  const checkpoints = join(folder, "critic")
  const rate = ["--learning-rate", "9e-6", "--micro-batch-size", "8", "--seed", "7"]
  const child = startPlumb([
    "serve-critic",
    "--model",
    model,
    "--output",
    checkpoints,
    "--port",
    port,
    ...rate,
    ...WASM
  ])
  servers.push(child)
  const url = await new Promise<string>((resolve, reject) => {
    let said = ""
    child.stderr!.on("data", (chunk) => {
      said += String(chunk)
      const found = /on (http:\S+?)[,;]/.exec(said)
      if (found !== null) resolve(found[1]!)
    })
    child.on("close", () => reject(new Error(said)))
  })
  return { child, url }
}

const metricsOf = (output: string): ReadonlyArray<Readonly<Record<string, number>>> => {
  const file = join(output, "metrics.jsonl")
  if (!existsSync(file)) return []
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1)
  return whole.map((line) => JSON.parse(line) as Readonly<Record<string, number>>)
}

const expectSame = (run: string, other: string) => {
  const [a, b] = [metricsOf(run), metricsOf(other)]
  expect(a.length).toBe(12)
  expect(b.length).toBe(12)
  for (const [i, step] of a.entries()) {
    expect(Object.keys(b[i]!).toSorted()).toEqual(Object.keys(step).toSorted())
    for (const [name, value] of Object.entries(step)) {
      if (name.startsWith("timers/") || name === "tokens_per_second") continue
      expect(Math.abs(b[i]![name]! - value), `${name} of step ${i + 1}`).toBeLessThan(1e-5)
    }
  }
}

describe.skipIf(!hasGolden)("a critic in another process", () => {
  it("gives the metrics of one in the same process; when it dies the run ends with the cause, and goes on with another", async () => {
    const together = join(folder, "together")
    const one = await plumb(args(together))
    expect(one.code, one.stderr).toBe(0)
    const first = await served("0")
    const apart = join(folder, "apart")
    const two = await plumb(args(apart, "--critic-url", first.url))
    expect(two.code, two.stderr).toBe(0)
    expectSame(together, apart)
    first.child.kill("SIGKILL")

    rmSync(join(folder, "critic"), { recursive: true })
    const second = await served("0")
    const torn = join(folder, "torn")
    const running = startPlumb(args(torn, "--critic-url", second.url))
    let said = ""
    running.stderr!.on("data", (chunk) => (said += String(chunk)))
    const closed = once(running, "close")
    while (metricsOf(torn).length < 5 && running.exitCode === null) await sleep(3)
    second.child.kill("SIGKILL")
    const died = Date.now()
    expect((await closed)[0], said).toBe(1)
    expect(Date.now() - died).toBeLessThan(15_000)
    expect(said).toMatch(/error: the critic failed to (give values|learn|be saved): http:\/\/127\.0\.0\.1:\d+: /)
    await served(new URL(second.url).port)
    const resumed = await plumb(["resume", torn])
    expect(resumed.code, resumed.stderr).toBe(0)
    expectSame(together, torn)
  })

  it("refuses what is no lesson, with a reason, and goes on", async () => {
    const { url } = await served("0")
    const ask = async (path: string, body: unknown) => {
      const headers = { "content-type": "application/json" }
      const response = await fetch(`${url}/v1/critic/${path}`, { method: "POST", headers, body: JSON.stringify(body) })
      return [response.status, await response.text()] as const
    }
    const array = (type: string, ...bytes: ReadonlyArray<number>) => ({
      [`$${type}`]: Buffer.from(bytes).toString("base64")
    })
    const cases: ReadonlyArray<readonly [string, unknown, string]> = [
      ["values", { rows: 3 }, "rows: is no list"],
      ["values", { rows: [{ ids: [1, 2], lossMask: array("Uint8Array", 0, 1) }] }, "ids: is no int32 array"],
      [
        "values",
        { rows: [{ ids: array("Int32Array", 255, 255, 255, 127), lossMask: array("Uint8Array", 1) }] },
        "of a vocabulary of"
      ],
      ["values", { rows: [{ ids: array("Int32Array", 1, 2, 3), lossMask: array("Uint8Array", 1) }] }, "body: "],
      ["train", { rows: [] }, "rows and steps are lists"],
      ["save", { name: "../elsewhere" }, "is no name of letters"],
      ["learnt", { lesson: 7 }, "there is no lesson 7"]
    ]
    for (const [path, body, reason] of cases) {
      const [status, text] = await ask(path, body)
      expect([status, text]).toEqual([400, expect.stringContaining(reason)])
    }
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })
})
