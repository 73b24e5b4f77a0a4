import { type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { writeRewardModel } from "./random-reward-model.ts"
import { golden, hasGolden } from "./reference-files.ts"
import { expectSame, metricsOf, type Service, startService } from "./services.ts"

const STEPS = 4
const TOKEN = { PLUMBLINE_TOKEN: "the-token" }
const model = join(golden, "models", "llama")
const started: Array<ChildProcess> = []
let folder: string
let rewardModel: string
let whole: Service
let adapted: Service

const serve = (...more: ReadonlyArray<string>) =>
  startService(["serve", "--model", model, "--accept-weights", ...more], "0", started, TOKEN)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-writers-"))
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Question ${i}:`, completion: ` Answer ${i}.` }))
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  writeFileSync(join(folder, "held-out.jsonl"), `{"prompt":"What is held out?"}\n`)
  rewardModel = join(folder, "reward-model")
  if (!hasGolden) return
  await writeRewardModel(model, rewardModel)
  whole = await serve()
  adapted = await serve("--lora-rank", "2")
})
afterAll(() => {
  for (const child of started) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const args = (command: string, output: string, ...more: ReadonlyArray<string>) => {
  const flags = `--batch-size 4 --max-new-tokens 8 --max-steps ${STEPS} --seed 7 --learning-rate 1e-2`
  const files = ["--model", model, "--train", join(folder, "rows.jsonl"), "--output", join(folder, output)]
  return [command, ...files, ...flags.split(" "), ...more, ...WASM]
}

const finished = async (line: ReadonlyArray<string>, start = plumbHere) => {
  const { code, stderr } = await start(line, undefined, TOKEN)
  expect(code, stderr).toBe(0)
}

const versionAt = async ({ url }: Service) =>
  ((await (await fetch(`${url}/health`)).json()) as Record<string, unknown>)["policy_version"]

const judged = () => ["--reward-model", rewardModel]
const iterated = ["--iteration-steps", "2"]

describe.skipIf(!hasGolden)("a run whose responses a server writes", () => {
  // the version that the last responses were written with: of a policy it counts steps, of a reference the times it moved
  it.each([
    ["rloo", judged, STEPS - 1],
    ["online-dpo", judged, STEPS - 1],
    ["rejection-sampling", judged, STEPS - 1],
    ["xpo", judged, STEPS - 1],
    ["nash-md", judged, STEPS - 1],
    ["a2po", judged, STEPS - 1],
    ["spin", () => iterated, 1],
    ["self-rewarding", () => [...iterated, ...judged(), "--eval", join(folder, "held-out.jsonl")], 1],
    // every pair of judgements that a model without sense makes is even: it learns from nothing, and is asked all the same
    ["meta-rewarding", () => [...iterated, "--judge-new-tokens", "8", "--evaluations", "2"], 1],
    ["distill", () => ["--teacher", model, "--on-policy", "1", "--temperature", "2"], STEPS - 1]
  ] as const)("has the metrics of one process: %s", async (command, own, version) => {
    await finished(args(command, `${command} here`, ...own()))
    await finished(args(command, `${command} there`, ...own(), "--generator-url", whole.url), plumb)
    expectSame(join(folder, `${command} here`), join(folder, `${command} there`), STEPS)
    expect(await versionAt(whole)).toBe(version)
  })

  it.each([
    ["online-dpo", judged],
    ["spin", () => iterated]
  ] as const)("sends the adapter of %s alone", async (command, own) => {
    const lora = ["--lora-rank", "2"]
    await finished(args(command, `${command} lora`, ...lora, ...own()))
    await finished(args(command, `${command} lora there`, ...lora, ...own(), "--generator-url", `${adapted.url}/v1/`))
    expectSame(join(folder, `${command} lora`), join(folder, `${command} lora there`), STEPS)
    expect(metricsOf(join(folder, `${command} lora there`)).at(-1)!["grad_norm"]).toBeGreaterThan(0)
  })

  it.each([
    ["online-dpo", "--max-rows 2", /--max-rows: is the server's to decide/],
    ["spin", "--max-rows 2", /--max-rows: is the server's to decide/],
    ["distill", "--temperature 1", /--generator-url: writes the student's own responses: give --on-policy, too/]
  ])("is refused where flags contradict it: %s %s", async (command, flags, reason) => {
    const own = command === "online-dpo" ? judged() : command === "distill" ? ["--teacher", model] : []
    const line = args(command, "never", ...own, "--generator-url", whole.url, ...flags.split(" "))
    const { code, stderr } = await plumbHere(line, undefined, TOKEN)
    expect(code).toBe(1)
    expect(stderr).toMatch(reason)
  })
})
