import { type ChildProcess } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"
import { expectSame, metricsOf, startService, struck } from "./services.ts"

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

/** Serves a critic on this port, 0 for any. */
const served = (port: string, output = join(folder, "critic"), ...more: ReadonlyArray<string>) => {
  const rest = ["--output", output, ...more, "--learning-rate", "9e-6", "--micro-batch-size", "8", "--seed", "7"]
  return startService(["serve-critic", "--model", model, ...rest], port, servers)
}

const finished = async (line: ReadonlyArray<string>, start = plumbHere) => {
  const { code, stderr } = await start(line)
  expect(code, stderr).toBe(0)
}

describe.skipIf(!hasGolden)("a critic in another process", () => {
  it("gives the metrics of one in the same process; when it dies the run ends with the cause, and goes on with another", async () => {
    const together = join(folder, "together")
    const one = await plumbHere(args(together))
    expect(one.code, one.stderr).toBe(0)
    const kl = metricsOf(together).map((step) => step["kl"]!)
    // |k1| of the policy before training is 0, and of no other
    expect([kl.length, kl[0], kl.at(-1)! > 0]).toEqual([12, 0, true])
    const first = await served("0")
    const apart = join(folder, "apart")
    const two = await plumb(args(apart, "--critic-url", first.url))
    expect(two.code, two.stderr).toBe(0)
    expectSame(together, apart, 12)
    first.child.kill("SIGKILL")

    rmSync(join(folder, "critic"), { recursive: true })
    const second = await served("0")
    const torn = join(folder, "torn")
    const { code, said, seconds } = await struck(args(torn, "--critic-url", second.url), torn, 5, () =>
      second.child.kill("SIGKILL")
    )
    expect(code, said).toBe(1)
    expect(seconds).toBeLessThan(15)
    expect(said).toMatch(/error: the critic failed to (give values|learn|be saved): http:\/\/127\.0\.0\.1:\d+: /)
    await served(second.port)
    const resumed = await plumb(["resume", torn])
    expect(resumed.code, resumed.stderr).toBe(0)
    expectSame(together, torn, 12)
  })

  it("may be an adapter, a new one or one that is there, which is what its checkpoints hold", async () => {
    const together = join(folder, "adapter together")
    await finished(args(together, "--critic-lora-rank", "4"))
    const store = join(folder, "adapters")
    const first = await served("0", store, "--lora-rank", "4")
    const torn = join(folder, "adapter apart")
    const { code, said } = await struck(args(torn, "--critic-url", first.url), torn, 5, () =>
      first.child.kill("SIGKILL")
    )
    expect(code, said).toBe(1)
    const second = await served(first.port, store, "--lora-rank", "4")
    await finished(["resume", torn], plumb)
    expectSame(together, torn, 12)
    second.child.kill("SIGKILL")

    const learnt = join(store, "step-12", "critic")
    expect(existsSync(join(learnt, "adapter_config.json"))).toBe(true)
    expect(existsSync(join(learnt, "model.safetensors"))).toBe(false)
    const [on, apart] = [join(folder, "adapter on"), join(folder, "adapter on apart")]
    await finished(args(on, "--critic-adapter", learnt))
    const third = await served("0", join(folder, "adapters on"), "--adapter", learnt)
    await finished(args(apart, "--critic-url", third.url))
    expectSame(on, apart, 12)
    // it knows something: another critic than the new one
    expect(metricsOf(on)[0]!["critic/loss"]).not.toBeCloseTo(metricsOf(together)[0]!["critic/loss"]!, 4)
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
