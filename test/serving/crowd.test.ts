import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type ClientKind, clientKinds } from "./clients.ts"
import { type Offline, offlineAnswers } from "./offline.ts"
import { type ModelFolder, type Server, startServer, untrainedModel } from "./server.ts"

const CLIENTS = 256
const TOKENS = 24
/** Far fewer rows, turns and bytes than the clients want. */
const FLAGS = ["--max-rows", "24", "--max-concurrency", "48", "--max-body-bytes", "20000", "--max-body-seconds", "2"]

let model: ModelFolder
let server: Server
let answers: ReadonlyArray<Offline>
beforeAll(async () => {
  model = await untrainedModel()
  server = await startServer(model.path, FLAGS)
  answers = await offlineAnswers(model.path, CLIENTS, TOKENS)
})
afterAll(async () => {
  await server.close()
  model.remove()
})

/** Numbers that must be what they were once everybody has gone. */
const REST = [
  "plumbline_backend_tensors",
  "plumbline_backend_bytes",
  "plumbline_http_requests_in_flight",
  "plumbline_queue_depth",
  "plumbline_requests_running",
  "plumbline_generator_responses_running",
  "plumbline_generator_responses_waiting",
  "plumbline_generator_cache_use_ratio"
]

const atRest = async (): Promise<ReadonlyArray<string>> =>
  (await server.metrics()).split("\n").filter((line) => REST.some((name) => line.startsWith(`${name} `)))

const kindOf = (i: number): ClientKind => clientKinds[i % clientKinds.length]!

describe("256 clients at once, of whom a third behave", () => {
  it("answers every one as it should be, and keeps nothing of them", async () => {
    const ask = (i: number) => kindOf(i).run(server, answers[i]!, TOKENS)
    await ask(0)
    const before = await atRest()
    expect(before).toHaveLength(REST.length)
    const outcomes = await Promise.all(
      answers.map(async (_, i) => [kindOf(i).name, await ask(i).catch((error: unknown) => String(error))] as const)
    )
    expect(outcomes).toEqual(answers.map((answer, i) => [kindOf(i).name, kindOf(i).expected(answer)]))
    await expect.poll(atRest, { timeout: 10_000 }).toEqual(before)
    const page = await server.metrics()
    expect(page).not.toContain('status="500"')
    // what nobody waits for any more is not written
    const written = [0, ...answers.keys()].reduce((total, i) => total + kindOf(i).responses, 0)
    expect(page).toContain(`plumbline_generator_responses_finished ${written}\n`)
    expect(page).toMatch(/requests_total\{route="\/v1\/completions",status="499"\} [1-9]/)
    expect(await ask(1)).toEqual(kindOf(1).expected(answers[1]!))
  })
})
