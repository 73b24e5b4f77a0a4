import { type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { writeRewardModel } from "./random-reward-model.ts"
import { golden, hasGolden } from "./reference-files.ts"
import { type Ended, expectSame, type Service, startService, struck } from "./services.ts"

const STEPS = 12
const model = join(golden, "models", "llama")
const started: Array<ChildProcess> = []
let folder: string
let rewardModel: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-services-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:` }))
  writeFileSync(join(folder, "prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  rewardModel = join(folder, "reward-model")
  if (hasGolden) await writeRewardModel(model, rewardModel)
})
afterAll(() => {
  for (const child of started) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const serveReward = (port = "0") => startService(["serve", "--model", rewardModel], port, started)
const TOKEN = { PLUMBLINE_TOKEN: "the-token" }
const serveModel = (port = "0") => startService(["serve", "--model", model, "--accept-weights"], port, started, TOKEN)
/** A critic that has learnt nothing: one goes on learning from run to run. */
const serveCritic = () => {
  const rest = ["--output", join(folder, "critic"), "--learning-rate", "9e-6", "--micro-batch-size", "8", "--seed", "7"]
  return startService(["serve-critic", "--model", model, ...rest], "0", started)
}

const flags =
  `--batch-size 4 --inner-epochs 2 --samples 2 --max-steps ${STEPS} --save-every 2 --max-new-tokens 12 --seed 7 ` +
  "--learning-rate 1e-3"

const ppo = (output: string, ...services: ReadonlyArray<string>) => {
  const files = ["--model", model, "--train", join(folder, "prompts.jsonl"), "--output", output]
  return ["ppo", ...files, ...flags.split(" "), ...services, ...WASM]
}

const finished = async (args: ReadonlyArray<string>, start = plumb) => {
  const { code, stderr } = await start(args, undefined, TOKEN)
  expect(code, stderr).toBe(0)
}

/** One cause, how to go on, and nothing else: within seconds. */
const expectOneCause = ({ code, said, seconds }: Ended, cause: RegExp, output: string) => {
  expect(code, said).toBe(1)
  expect(seconds).toBeLessThan(15)
  expect(said.match(/^error: /gm)).toHaveLength(1)
  expect(said).toMatch(cause)
  expect(said).toContain("hint: once that is put right, the run goes on from step ")
  expect(said).toContain(`: plumb resume ${output}\n`)
}

const freeze = ({ child }: Service) => child.kill("SIGSTOP")
const thaw = ({ child }: Service) => child.kill("SIGCONT")
const kill = ({ child }: Service) => child.kill("SIGKILL")

describe.skipIf(!hasGolden)("a PPO run whose services are other processes", () => {
  let reward: Service
  let critic: Service
  let whole: string
  const services = () => ["--reward-model", reward.url, "--critic-url", critic.url]

  beforeAll(async () => {
    reward = await serveReward()
    whole = join(folder, "whole")
    await finished(ppo(whole, "--reward-model", rewardModel), plumbHere)
  })

  beforeEach(async () => void (critic = await serveCritic()))
  afterEach(() => void kill(critic))

  it("ends with the cause where the reward server is killed, says so again while it is away, and goes on with another", async () => {
    const output = join(folder, "reward-killed")
    const ended = await struck(ppo(output, ...services()), output, 3, () => kill(reward))
    const address = `${reward.url}/v1/rewards`
    expectOneCause(
      ended,
      new RegExp(
        `error: prompts.jsonl:\\d+: reward "reward_model" failed: ${address}: no connection .*; tried 4 times`
      ),
      output
    )
    const tooEarly = await plumbHere(["resume", output])
    expect(tooEarly.code).toBe(1)
    expect(tooEarly.stderr).toContain(`error: the reward server at ${address} cannot be used: no connection`)
    expect(tooEarly.stderr).toContain(`plumb resume ${output}`)
    reward = await serveReward(reward.port)
    await finished(["resume", output])
    expectSame(whole, output, STEPS)
  })

  it.each([
    [
      "reward server",
      () => reward,
      /error: prompts.jsonl:\d+: reward "reward_model" failed: http\S+: it gives no sign of life: for 6 s it did not/
    ],
    ["critic", () => critic, /error: the critic failed to \w[\w ]*: http\S+: it gives no sign of life/]
  ] as const)("ends with the cause where the %s stalls, and goes on once it does", async (name, service, cause) => {
    const output = join(folder, `${name} stalled`.replaceAll(" ", "-"))
    const ended = await struck(ppo(output, ...services()), output, 3, () => freeze(service()))
    thaw(service())
    expectOneCause(ended, cause, output)
    await finished(["resume", output])
    expectSame(whole, output, STEPS)
  })
})

describe.skipIf(!hasGolden)("a GRPO run whose responses another process writes", () => {
  const grpo = (output: string, ...generator: ReadonlyArray<string>) => {
    const files = ["--model", model, "--train", join(folder, "prompts.jsonl"), "--output", output]
    return ["grpo", ...files, "--reward-model", rewardModel, ...flags.split(" "), ...generator, ...WASM]
  }

  let server: Service
  let whole: string

  beforeAll(async () => {
    server = await serveModel()
    whole = join(folder, "written")
    await finished(grpo(whole), plumbHere)
  })

  it("ends with the cause where the server stalls, and goes on once it does", async () => {
    const output = join(folder, "writer-stalled")
    const run = grpo(output, "--generator-url", server.url)
    const ended = await struck(run, output, 3, () => freeze(server), TOKEN)
    thaw(server)
    expectOneCause(ended, /error: the generator failed: .*http\S+ .*: it gives no sign of life/, output)
    await finished(["resume", output])
    expectSame(whole, output, STEPS)
  })

  it("ends with the cause where the server is killed, and goes on with another", async () => {
    const output = join(folder, "writer-killed")
    const run = grpo(output, "--generator-url", server.url)
    const ended = await struck(run, output, 3, () => kill(server), TOKEN)
    expectOneCause(ended, /error: the generator failed: .*http\S+ .*no connection .*; tried 4 times/, output)
    server = await serveModel(server.port)
    await finished(["resume", output])
    expectSame(whole, output, STEPS)
  })
})
