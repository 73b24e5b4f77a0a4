import { type ChildProcess } from "node:child_process"
import { createServer, request, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { writeRewardModel } from "./random-reward-model.ts"
import { golden, hasGolden } from "./reference-files.ts"
import { expectSame, metricsOf, type Service, startService } from "./services.ts"

const STEPS = 8
const TOKEN = { PLUMBLINE_TOKEN: "the-token" }
const model = join(golden, "models", "llama")
const started: Array<ChildProcess> = []
let folder: string
let rewardModel: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-weights-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:` }))
  writeFileSync(join(folder, "prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  rewardModel = join(folder, "reward-model")
  if (hasGolden) await writeRewardModel(model, rewardModel)
})
afterEach(() => void started.splice(0).forEach((child) => child.kill("SIGKILL")))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const serve = (port = "0", ...more: ReadonlyArray<string>) =>
  startService(["serve", "--model", model, "--accept-weights", ...more], port, started, TOKEN)

const grpo = (output: string, ...more: ReadonlyArray<string>) => {
  const flags =
    "--batch-size 4 --samples 3 --rollout-batches 2 --save-every 2 --max-new-tokens 8 " +
    `--max-steps ${STEPS} --seed 7 --learning-rate 1e-2`
  const files = ["--model", model, "--train", join(folder, "prompts.jsonl"), "--output", output]
  return ["grpo", ...files, "--reward-model", rewardModel, ...flags.split(" "), ...more, ...WASM]
}

const finished = async (args: ReadonlyArray<string>, start = plumbHere) => {
  const { code, stderr } = await start(args, undefined, TOKEN)
  expect(code, stderr).toBe(0)
}

const health = async ({ url }: Service) => (await (await fetch(`${url}/health`)).json()) as Record<string, unknown>

/** What stands between a run and its server: passes everything on, to whichever server there is. */
const between = async () => {
  let server: Service | undefined
  let cutAt = Infinity
  let transfers = 0
  const proxy: Server = createServer((incoming, outgoing) => {
    const { headers, method, url } = incoming
    const passed = request(`${server!.url}${url}`, { headers, method }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(outgoing)
    }).on("error", () => incoming.socket.destroy())
    if (method === "POST" && url!.startsWith("/v1/weights") && ++transfers === cutAt) {
      incoming.once("data", (half: Buffer) =>
        passed.write(half.subarray(0, half.length / 2), () => server!.child.kill("SIGKILL"))
      )
    } else incoming.pipe(passed)
  })
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    /** @param cut number of the transfer in whose middle the server is killed */
    to: (next: Service, cut = Infinity) => void ([server, cutAt, transfers] = [next, cut, 0]),
    close: () => (proxy.closeAllConnections(), proxy.close())
  }
}

describe.skipIf(!hasGolden)("a run whose responses plumb serve writes with the weights that it learns", () => {
  it.each([
    ["all of a model", [], []],
    ["an adapter", ["--lora-rank", "2", "--lora-dropout", "0.1"], ["--lora-rank", "2"]],
    [
      "virtual tokens",
      ["--adapter-type", "prefix", "--virtual-tokens", "2"],
      ["--adapter-type", "prefix", "--virtual-tokens", "2"]
    ],
    [
      "VeRA",
      ["--adapter-type", "vera", "--lora-rank", "2"],
      ["--adapter-type", "vera", "--lora-rank", "2", "--adapter-seed", "7"]
    ]
  ] as const)("has the metrics of one process: %s", async (name, own, served) => {
    const [here, there] = [join(folder, `${name} here`), join(folder, `${name} there`)]
    await finished(grpo(here, ...own))
    const server = await serve("0", ...served)
    await finished(grpo(there, ...own, "--generator-url", server.url), plumb)
    expectSame(here, there, STEPS)
    expect(await health(server)).toMatchObject({ status: "ok", policy_version: STEPS - 2 })
  })
  it("ends with one cause where the server is killed in the middle of a transfer, and goes on with another", async () => {
    const [whole, torn] = [join(folder, "whole"), join(folder, "torn")]
    await finished(grpo(whole))
    const proxy = await between()
    proxy.to(await serve(), 3)
    const { code, stderr } = await plumb(grpo(torn, "--generator-url", proxy.url), undefined, TOKEN)
    expect(code, stderr).toBe(1)
    expect(stderr.match(/^error: /gm)).toHaveLength(1)
    expect(stderr).toMatch(
      /error: the generator failed: http\S+ did not take the weights of version 4: no connection .*; tried 4/
    )
    expect(stderr).toContain(`: plumb resume ${torn}\n`)
    expect(metricsOf(torn)).toHaveLength(4)
    proxy.to(await serve())
    await finished(["resume", torn], plumb)
    expectSame(whole, torn, STEPS)
    proxy.close()
  })

  it("may write ahead, by weights that are as old as was said and no older", async () => {
    const output = join(folder, "ahead")
    const server = await serve()
    await finished(grpo(output, "--generator-url", server.url, "--staleness", "1"))
    const ages = metricsOf(output).map((step) => step["rollout/staleness_max"]!)
    expect(ages).toHaveLength(STEPS)
    expect(Math.max(...ages)).toBeGreaterThan(0)
    expect(Math.max(...ages)).toBeLessThanOrEqual(2)
  })

  it.each([
    ["serve --accept-weights --port 0", {}, /error: --accept-weights needs a token/],
    ["serve --lora-rank 2 --port 0", TOKEN, /--lora-rank: is of an adapter that a run trains/],
    ["serve --adapter-seed 3 --port 0", TOKEN, /--adapter-seed: is of an adapter that a run trains/],
    ["grpo --generator-url http://x --max-rows 2", TOKEN, /--max-rows: is the server's to decide/],
    ["grpo --generator-url here", TOKEN, /--generator-url: here is no address/]
  ])("is refused where flags contradict it: %s", async (line, environment, reason) => {
    const [command, ...flags] = line.split(" ")
    const args = command === "grpo" ? grpo(join(folder, "never")) : [command!, "--model", model, ...WASM]
    const { code, stderr } = await plumbHere([...args, ...flags], undefined, environment)
    expect(code).not.toBe(0)
    expect(stderr).toMatch(reason)
  })

  it("is refused what a reward model would not read", async () => {
    const { code, stderr } = await plumbHere([
      "serve",
      "--model",
      rewardModel,
      "--lora-rank",
      "2",
      "--port",
      "0",
      ...WASM
    ])
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/--lora-rank: is of an adapter that a run trains/)
  })
})
