import { loadTokenizer } from "@plumbline/data"
import { loadScalarModel, readHead, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"
import { startServer } from "./serving/server.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-reward-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const curve = join(golden, "curves", "rm.json")
const llama = join(golden, "models", "llama")

/** The model that TRL's reward curve starts from, as a folder. */
const rewardFolder = async (name: string, attributes: ReadonlyArray<string>): Promise<string> => {
  const output = join(folder, name)
  await Effect.runPromise(
    Effect.gen(function* () {
      const weights = yield* readHead(curve, 1, 64)
      const all = Float32Array.from(
        { length: 64 * attributes.length },
        (_, i) => weights[i % 64]! * (1 + Math.floor(i / 64))
      )
      const head = { attributes, pooling: "last", seed: 0, weights: all } as const
      const model = yield* loadScalarModel(llama, { name: "reward", trainable: false, head })
      yield* saveModel(model, output, { extraFiles: (yield* loadTokenizer(llama)).files })
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
  return output
}

interface Pair {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
}

const pairs = (): ReadonlyArray<Pair> =>
  readFileSync(join(golden, "preferences.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Pair)

const jsonl = (name: string, rows: ReadonlyArray<unknown>): string => {
  const file = join(folder, name)
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"))
  return file
}

const objects = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

describe.skipIf(!hasGolden)("plumb reward", () => {
  it("gives the rewards of TRL's first batch, from texts and from ids", async () => {
    const model = await rewardFolder("one", ["reward"])
    const { first_batch, steps } = JSON.parse(readFileSync(curve, "utf8"))
    const rows = pairs().slice(0, 4)
    const texts = rows.flatMap(({ chosen, prompt, rejected }) => [
      { prompt, response: chosen },
      { prompt, response: rejected }
    ])
    const ids = first_batch.input_ids.map((row: ReadonlyArray<number>, r: number) => ({
      input_ids: row.filter((_, t) => first_batch.attention_mask[r][t] === 1)
    }))
    const rewardsOf = async (file: string) => {
      const { code, stderr, stdout } = await plumbHere(["reward", "--model", model, "--input", file, "--json", ...WASM])
      expect(code, stderr).toBe(0)
      return objects(stdout) as ReadonlyArray<{ readonly reward: number; readonly parts: { readonly reward: number } }>
    }
    for (const file of [jsonl("texts.jsonl", texts), jsonl("ids.jsonl", ids)]) {
      const rewards = (await rewardsOf(file)).map(({ reward }) => reward)
      expect(rewards.length).toBe(8)
      expect(Math.min(...rewards)).toBeCloseTo(steps[0].min_reward, 5)
      expect(Math.max(...rewards)).toBeCloseTo(steps[0].max_reward, 5)
      expect(rewards.reduce((sum, reward) => sum + reward, 0) / 8).toBeCloseTo(steps[0].mean_reward, 5)
    }
  })

  it("weighs the attributes of a head that has several, and says what it does without weights", async () => {
    const model = await rewardFolder("two", ["helpfulness", "verbosity"])
    const args = ["reward", "--model", model, "--input", jsonl("one.jsonl", [{ text: "Natalia" }]), "--json", ...WASM]
    const equal = await plumbHere(args)
    expect(equal.stderr).toContain("reward: the mean of helpfulness, verbosity; --attribute-weights says otherwise")
    const [{ parts, reward }] = objects(equal.stdout)
    expect(parts.verbosity).toBeCloseTo(2 * parts.helpfulness, 5)
    expect(reward).toBeCloseTo(1.5 * parts.helpfulness, 5)
    const weighed = await plumbHere([...args, "--attribute-weights", "helpfulness=0.65,verbosity=-0.4"])
    expect(objects(weighed.stdout)[0].reward).toBeCloseTo((0.65 - 0.8) * parts.helpfulness, 5)
    const unknown = await plumbHere([...args, "--attribute-weights", "humor=1"])
    expect([unknown.code, unknown.stdout]).toEqual([1, ""])
    expect(unknown.stderr).toContain("the reward model scores helpfulness, verbosity, not humor")
  })

  it("refuses language models and rows that it cannot read", async () => {
    const rows = jsonl("long.jsonl", [{ input_ids: [5] }, { input_ids: [2000] }])
    const language = await plumbHere(["reward", "--model", llama, "--input", rows, ...WASM])
    expect([language.code, language.stdout]).toEqual([1, ""])
    expect(language.stderr).toContain("holds no reward model: there is no score.weight; plumb rm trains one")
    const model = await rewardFolder("three", ["reward"])
    const unknown = await plumbHere(["reward", "--model", model, "--input", rows, ...WASM])
    expect([unknown.code, unknown.stdout]).toEqual([1, ""])
    expect(unknown.stderr).toContain(
      "long.jsonl, line 2: token id 2000 is outside the reward model's vocabulary of 1024"
    )
  })
})

describe.skipIf(!hasGolden)("plumb serve of a reward model", () => {
  it("answers clients at once what plumb reward says of the same file", async () => {
    const model = await rewardFolder("served", ["helpfulness", "verbosity"])
    const rows = pairs().flatMap(({ chosen, prompt, rejected }) => [
      { prompt, response: chosen },
      { prompt, response: rejected }
    ])
    const weights = ["--attribute-weights", "helpfulness=1,verbosity=-0.4"]
    const file = jsonl("served.jsonl", rows)
    const offline = await plumb(["reward", "--model", model, "--input", file, "--json", ...weights, ...WASM])
    const server = await startServer(model, [...weights, "--name", "rm"])
    try {
      const headers = { "content-type": "application/json" }
      const ask = async (row: unknown) => {
        const body = JSON.stringify({ model: "rm", rows: [row] })
        return (await fetch(`${server.url}/v1/rewards`, { method: "POST", headers, body })).json()
      }
      const answers = (await Promise.all(rows.map(ask))) as ReadonlyArray<{
        readonly results: ReadonlyArray<{ readonly reward: number }>
      }>
      const wanted = objects(offline.stdout)
      expect(wanted.length).toBe(rows.length)
      answers.forEach(({ results }, i) => expect(results[0]!.reward).toBeCloseTo(wanted[i].reward, 4))
    } finally {
      await server.close()
    }
    const language = await plumbHere(["serve", "--model", llama, "--port", "0", ...weights, ...WASM])
    expect([language.code, language.stderr]).toEqual([1, expect.stringContaining("and this is a language model")])
  })
})

const short = "--batch-size 4 --max-steps 30 --learning-rate 3e-3 --lr-schedule constant".split(" ")

describe.skipIf(!hasGolden)("plumb rm-regression", () => {
  it("learns attributes that plumb reward then names, and goes on with its head", async () => {
    const rows = ["aa", "bb", "cc", "dd"].map((text, i) => ({ prompt: text, response: "x", good: i, long: -100 }))
    const graded = jsonl("graded.jsonl", [...rows.slice(1), { ...rows[0], good: -100, long: 2 }])
    const output = join(folder, "regression")
    const files = ["--train", graded, "--output", output, "--attributes", "good,long"]
    const trained = await plumb(["rm-regression", "--model", llama, ...files, ...short, ...WASM])
    expect(trained.code, trained.stderr).toBe(0)
    expect(trained.stdout).toContain(`try it:  plumb reward --model ${output}/final --input FILE`)
    const model = join(output, "final")
    const scored = await plumbHere(["reward", "--model", model, "--input", graded, "--json", ...WASM])
    const parts = objects(scored.stdout).map((row) => row.parts)
    for (const [i, good] of [1, 2, 3].entries()) expect(parts[i].good).toBeCloseTo(good, 0)
    expect(parts[3].long).toBeCloseTo(2, 0)
    const other = ["--train", graded, "--output", join(folder, "other"), "--attributes", "good"]
    const refused = await plumbHere(["rm-regression", "--model", model, ...other, ...short, ...WASM])
    expect(refused.stderr).toContain("--attributes: the folder's head scores good,long")
    const absent = ["--train", graded, "--output", join(folder, "absent"), "--attributes", "good,kind"]
    const misnamed = await plumbHere(["rm-regression", "--model", llama, ...absent, ...short, ...WASM])
    expect(misnamed.stderr).toContain("no row has a grade of kind")
  })
})

describe.skipIf(!hasGolden)("plumb prm", () => {
  it("learns which steps are right", async () => {
    const row = (step: string, label: boolean) => ({
      prompt: "Sum?",
      completions: ["Start.", step],
      labels: [null, label]
    })
    const file = jsonl("steps.jsonl", [
      row("2+2=4", true),
      row("2+2=5", false),
      row("3+3=6", true),
      row("3+3=7", false)
    ])
    const output = join(folder, "prm")
    const files = ["--model", llama, "--train", file, "--output", output]
    const { code, stderr } = await plumb(["prm", ...files, ...short, ...WASM])
    expect(code, stderr).toBe(0)
    const steps = objects(readFileSync(join(output, "metrics.jsonl"), "utf8"))
    expect(steps.at(-1)).toMatchObject({ accuracy: 1 })
    expect(steps.at(-1).loss).toBeLessThan(0.5 * steps[0].loss)
  })
})

describe.skipIf(!hasGolden)("plumb rm-eval", () => {
  it("agrees with TRL on the first batch, and splits by subset", async () => {
    const model = await rewardFolder("eval", ["reward"])
    const { steps } = JSON.parse(readFileSync(curve, "utf8"))
    const rows = pairs()
      .slice(0, 4)
      .map((pair, i) => ({ ...pair, subset: i < 3 ? "easy" : "hard" }))
    const args = ["rm-eval", "--model", model, "--input", jsonl("pairs.jsonl", rows), ...WASM]
    const { code, stderr, stdout } = await plumb([...args, "--json"])
    expect(code, stderr).toBe(0)
    const [report] = objects(stdout)
    expect(report).toMatchObject({ pairs: 4, accuracy: steps[0].accuracy, ties: 0 })
    expect(report.margin).toBeCloseTo(steps[0].margin, 5)
    expect(report.loss).toBeCloseTo(steps[0].loss, 5)
    expect(report.subsets.easy.pairs).toBe(3)
    expect(report.subsets.hard.pairs).toBe(1)
    expect((await plumbHere(args)).stdout).toMatch(
      /subset +pairs +accuracy[\s\S]*easy +3 [\s\S]*hard +1 [\s\S]*all +4 /
    )
  })
})
