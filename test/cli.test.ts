import { execFileSync, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Finished, plumb, startPlumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden, root } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-cli-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)

describe("plumb", () => {
  it("lists its commands, on standard output", async () => {
    const { code, stderr, stdout } = await plumb(["--help"])
    expect([code, stderr]).toEqual([0, ""])
    for (const name of [
      "sft",
      "dpo",
      "kto",
      "cpo",
      "simpo",
      "orpo",
      "tpo",
      "run",
      "generate",
      "score",
      "tokenize",
      "serve",
      "doctor",
      "plan",
      "runs",
      "show",
      "resume"
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"))
    }
  })

  it.each([
    [["plan", "grpo", "--model", "m", "-h"], /^plumb plan grpo --model DIR --train FILE \[--output DIR\]/],
    [["plan", "--model", "m", "--help"], /^plumb plan ALGORITHM/],
    [["doctor", "--help"], /^plumb doctor ALGORITHM.*micro-batches/s],
    [["plan", "sft", "--help"], /^plumb plan sft/],
    [["bench", "--shape", "llama-tiny", "-h"], /^plumb bench train\|dpo/],
    [["run", "--output", "x", "--help"], /^plumb run RECIPE/],
    [["help", "ppo"], /^plumb ppo --model/],
    [["help", "doctor", "rloo"], /^plumb doctor rloo .*--accept/s]
  ])("shows the help that is asked for, also where it would refuse to run: %j", async (args, text) => {
    const { code, stderr, stdout } = await plumbHere(args, folder)
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toMatch(text)
  })

  it("works from any folder, through links, and says its version", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "packages", "cli", "package.json"), "utf8")) as {
      version: string
    }
    expect(await plumb(["--version"], folder)).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
  })

  it.skipIf(!existsSync("/dev/full"))("says that its results cannot be written", () => {
    const command = `"${join(root, "node_modules", ".bin", "plumb")}" --help > /dev/full`
    const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" })
    expect([status, stderr]).toEqual([
      1,
      "error: the results cannot be written: ENOSPC: no space left on device, write\n"
    ])
  })

  it("is quiet where its reader goes away", () => {
    const command = `"${join(root, "node_modules", ".bin", "plumb")}" reinforce++ --help | head -1`
    const script = `${command}; exit 0`
    expect(execFileSync("sh", ["-c", `{ ${script}; } 2>&1`], { encoding: "utf8" })).toMatch(
      /^plumb reinforce\+\+ --model DIR .*\n$/
    )
  })

  it.each([
    [["dop"], 'unknown command "dop"; did you mean dpo?'],
    [["--modle"], "unknown option --modle: options follow a command"],
    [["dpo", "--lerning-rate", "1"], "unknown option --lerning-rate; did you mean --learning-rate?"],
    [["dpo", "--beta", "big"], '--beta: expected a number; got "big"'],
    [["dpo", "--loss", "sigmod"], 'sft; got "sigmod"; did you mean sigmoid?'],
    [["plan", "sfd"], 'there is no algorithm "sfd"; did you mean sft?'],
    [["score", "--model", "m"], "give one of --text TEXT and --input FILE"],
    [["run", "--output", "x"], "the recipe file comes first"]
  ])("refuses %j as bad usage", async (args, message) => {
    const { code, stderr, stdout } = await plumbHere(args, folder)
    expect([code, stdout]).toEqual([2, ""])
    expect(stderr).toContain(message)
    expect(stderr).toMatch(/^hint: /m)
  })

  it.each([
    [["tokenize", "--model", "nowhere", "--text", "a"], "nowhere/tokenizer.json: no such file"],
    [["dpo", "--model", "nowhere", "--train", "a.jsonl", "--output", "x"], "no model in nowhere: no such folder"],
    [["generate", "--model", "nowhere", "--prompt", "a"], "no model in nowhere: no such folder"],
    [["dpo", "--config", "no.yaml"], "no.yaml: no such file"],
    [["run", "no.ts"], "recipe no.ts: no such file"],
    [["resume", "no"], "no run to resume at no: there is no such folder"],
    [["runs"], "no run store: there is no runs/plumbline.db and no plumbline.db"]
  ])("explains %j and leaves nothing behind", async (args, message) => {
    const before = readdirSync(folder)
    const { code, stderr, stdout } = await plumbHere(args, folder)
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toContain(`error: ${message}`)
    expect(readdirSync(folder)).toEqual(before)
  })

  it("runs a recipe outside the repository, and says what its code did wrong", async () => {
    const file = write(
      "mine.ts",
      `import { recipe } from "@plumbline/training"
import { Console, Effect, Schema } from "effect"
const later = (run: () => void) => Effect.andThen(Effect.sync(run), Effect.sleep(5000))
const bodies = {
  well: () => Console.log("went well"),
  throws: () => { throw new Error("apples") },
  rejects: () => Effect.promise(() => Promise.reject(new Error("pears"))),
  forgets: () => later(() => void Promise.reject(new Error("plums"))),
  late: () => later(() => void setTimeout(() => { throw new Error("figs") }, 1)),
  nothing: () => undefined,
  waits: () => Effect.promise(() => new Promise(() => {}))
}
const params = Schema.Struct({ body: Schema.Literals(Object.keys(bodies)) })
export default recipe({ name: "mine", params, run: ({ body }) => bodies[body]() })
`
    )
    const said = async (body: string, start = plumb) => {
      const { code, stderr, stdout } = await start(["run", file, "--body", body, ...WASM], folder)
      return [code, `${stdout}${stderr}`] as const
    }
    expect(await said("well")).toEqual([0, expect.stringContaining("went well")])
    for (const [body, message, start] of [
      ["throws", "apples", plumbHere],
      ["rejects", "pears", plumbHere],
      ["forgets", "plums", plumb],
      ["late", "figs", plumb]
    ] as const) {
      expect(await said(body, start)).toEqual([
        1,
        expect.stringContaining(`error: code of yours threw Error: ${message}\n    at `)
      ])
    }
    expect(await said("nothing", plumbHere)).toEqual([1, expect.stringContaining("mine.ts: its run gives no Effect")])
    expect(await said("waits")).toEqual([1, expect.stringContaining("error: it waits for what can no longer come")])
    write("breaks.ts", 'throw new Error("cherries")')
    const { stderr } = await plumbHere(["run", "breaks.ts"], folder)
    expect(stderr.trim().split("\n")).toEqual([
      "error: recipe breaks.ts: cannot be loaded: Error: cherries",
      expect.stringMatching(/^ +at .*breaks\.ts:1:7/)
    ])
    write("lacks.ts", 'import "@plumbline/no-such-package"')
    expect((await plumbHere(["run", "lacks.ts"], folder)).stderr).toMatch(
      /Cannot find package .*imported from .*lacks\.ts/
    )
    write(
      "mistypes.ts",
      `import { samplingOptions } from "@plumbline/rollout-generation"
import { recipe, trainingOptions } from "@plumbline/training"
import { Schema } from "effect"
const trained = () => trainingOptions({ learningRat: 1, maxSteps: -1 })
const run = ({ plain }) => plain === 1 ? trained() : samplingOptions({ maxNewToken: 1 })
export default recipe({ name: "mistypes", params: Schema.Struct({ plain: Schema.Number }), run })`
    )
    const mistyped = async (...args: ReadonlyArray<string>) =>
      (await plumbHere(["run", "mistypes.ts", ...args, ...WASM], folder)).stderr
    expect(await mistyped("--plain", "1")).toMatch(
      /code of yours threw OptionsInvalid: trainingOptions: learningRat: .*; maxSteps: .*\n +at .*mistypes\.ts:4/
    )
    expect(await mistyped("--plain", "2")).toMatch(/code of yours threw .*"maxNewToken".*mistypes\.ts:5/s)
    expect(await mistyped()).toContain("error: --plain is missing\n")
  })

  it("converts a data set", async () => {
    const input = write("alpaca.jsonl", '{"instruction":"Sing","input":"","output":"La"}\n')
    const files = ["--from", "alpaca", "--input", input, "--output", "converted.jsonl"]
    const { code, stderr } = await plumb(["convert", ...files], folder)
    expect(code, stderr).toBe(0)
    expect(jsonLines(readFileSync(join(folder, "converted.jsonl"), "utf8"))).toHaveLength(1)
  })

  it("names the file and the key that a configuration should not have", async () => {
    const file = write("wrong.yaml", "bta: 0.2\n")
    const { code, stderr } = await plumb(["dpo", "--config", file])
    expect(code).toBe(2)
    expect(stderr).toContain(`error: ${file}: unknown key "bta"; did you mean beta?`)
  })

  it("reads a JSON configuration behind a byte order mark", async () => {
    const file = write("marked.json", '\uFEFF{"bta": 0.2}')
    expect((await plumbHere(["dpo", "--config", file])).stderr).toContain('unknown key "bta"; did you mean beta?')
  })

  it("says of a name that no folder can have that nothing is there", async () => {
    const { code, stderr } = await plumbHere(["resume", "x".repeat(300)])
    expect(code).toBe(1)
    expect(stderr).toContain("there is no such folder")
  })
})

describe.skipIf(!hasGolden)("plumb with a model", () => {
  const model = join(golden, "models", "llama")
  const train = join(golden, "preferences.jsonl")
  // made by transformers 5.17, see golden/README.md
  const reference = hasGolden ? (JSON.parse(readFileSync(join(model, "expected.json"), "utf8")) as Expected) : undefined

  interface Expected {
    readonly input_ids: ReadonlyArray<number>
    readonly token_logprobs: ReadonlyArray<number>
    readonly greedy: { readonly prompt: ReadonlyArray<number>; readonly continuation: ReadonlyArray<number> }
    readonly chat: {
      readonly messages: ReadonlyArray<object>
      readonly rendered: string
      readonly ids: ReadonlyArray<number>
    }
    readonly tokenizer: ReadonlyArray<{
      readonly text: string
      readonly ids: ReadonlyArray<number>
      readonly decoded: string
    }>
  }

  const well = ({ code, stderr, stdout }: Finished): string => {
    expect(code, stderr).toBe(0)
    return stdout
  }
  const ok = async (args: ReadonlyArray<string>, cwd = folder) => well(await plumbHere(args, cwd))
  const okApart = async (args: ReadonlyArray<string>, cwd = folder) => well(await plumb(args, cwd))

  it("tokenizes texts and chats as transformers does", async () => {
    const { chat, tokenizer } = reference!
    const input = write(
      "texts.jsonl",
      [...tokenizer.map(({ text }) => ({ text })), { messages: chat.messages }]
        .map((row) => JSON.stringify(row))
        .join("\n")
    )
    expect(jsonLines(await okApart(["tokenize", "--model", model, "--input", input, "--json"]))).toEqual([
      ...tokenizer.map(({ decoded, ids }) => ({ input_ids: ids, text: decoded })),
      { input_ids: chat.ids, text: chat.rendered }
    ])
    const one = ["tokenize", "--model", model, "--chat", "--json", "--text", JSON.stringify(chat.messages)]
    expect(jsonLines(await ok(one))).toEqual([{ input_ids: chat.ids, text: chat.rendered }])
  })

  it("scores every token but the first, whatever else is in the file", async () => {
    const { input_ids, token_logprobs } = reference!
    const input = write(
      "ids.jsonl",
      `${JSON.stringify({ input_ids })}\n{"text":"a"}\n${JSON.stringify({ input_ids })}\n`
    )
    const rows = jsonLines(await okApart(["score", "--model", model, "--input", input, "--json", ...WASM]))
    expect(rows.map((row) => row["input_ids"])).toEqual([input_ids, rows[1]!["input_ids"], input_ids])
    expect(rows[1]!["token_logprobs"]).toEqual([null])
    for (const row of [rows[0]!, rows[2]!]) {
      const [first, ...rest] = row["token_logprobs"] as ReadonlyArray<number | null>
      expect(first).toBeNull()
      expect(rest.length).toBe(token_logprobs.length)
      rest.forEach((value, t) => expect(Math.abs(value! - token_logprobs[t]!)).toBeLessThan(1e-4))
    }
  })

  it("continues greedily as transformers does, and by its seed alone when it samples", async () => {
    const { greedy } = reference!
    const input = write("prompt.jsonl", `${JSON.stringify({ input_ids: greedy.prompt })}\n{"prompt":"Natalia"}\n`)
    const base = [
      "generate",
      ...WASM,
      "--model",
      model,
      "--input",
      input,
      "--max-new-tokens",
      String(greedy.continuation.length)
    ]
    const [row] = jsonLines(await okApart([...base, "--temperature", "0", "--json"]))
    expect(row).toMatchObject({ prompt_ids: greedy.prompt, response_ids: greedy.continuation, finish_reason: "length" })
    expect(row!["logprobs"]).toHaveLength(greedy.continuation.length)
    const samples = await Promise.all(["1", "1", "2"].map((seed) => ok([...base, "--json", "--seed", seed])))
    expect(samples[0]).toBe(samples[1])
    expect(samples[0]).not.toBe(samples[2])
  })

  it("refuses ids outside the vocabulary and rows beyond the context", async () => {
    const unknown = write("unknown.jsonl", '{"input_ids":[1,99999]}\n')
    const score = await plumbHere(["score", "--model", model, "--input", unknown, ...WASM])
    expect([score.code, score.stdout]).toEqual([1, ""])
    expect(score.stderr).toMatch(/unknown\.jsonl, line 1: token id 99999 is outside the vocabulary of \d+/)
    const long = write(
      "long.jsonl",
      `{"text":"a"}\n${JSON.stringify({ input_ids: Array.from({ length: 200_000 }, () => 5) })}\n`
    )
    const generate = await plumbHere(["generate", "--model", model, "--input", long, ...WASM])
    expect(generate.code).toBe(1)
    expect(generate.stderr).toMatch(
      /long\.jsonl, line 2: has 200000 tokens, and the model's context leaves room for \d+/
    )
  })

  const dpo = (output: string, ...more: ReadonlyArray<string>) => [
    "dpo",
    ...WASM,
    "--model",
    model,
    "--train",
    train,
    "--output",
    output,
    "--batch-size",
    "4",
    "--max-length",
    "128",
    ...more
  ]

  describe("and a run of two steps", () => {
    let finished: string
    beforeAll(async () => {
      const config = write("dpo.yaml", "loss: [ipo]\nmaxSteps: 5\nsaveEvery: 1\n")
      finished = await okApart(dpo("made/a", "--config", config, "--max-steps", "2"))
    })

    it("says where the model is; the model can be used", async () => {
      expect(finished).toMatch(/^finished at step 2$/m)
      expect(finished).toMatch(/^model: +made\/a\/final$/m)
      const row = jsonLines(
        await ok(["score", "--model", "made/a/final", "--text", "Natalia sold", "--json", ...WASM])
      )[0]!
      expect(row["input_ids"]).toHaveLength(5)
    })

    it("records the options it resolved, with absolute paths", () => {
      const { invocation } = JSON.parse(readFileSync(join(folder, "made/a/run.json"), "utf8")) as {
        readonly invocation: { readonly command: string; readonly options: Record<string, unknown> }
      }
      expect(invocation.command).toBe("dpo")
      expect(invocation.options).toMatchObject({ model, loss: ["ipo"], maxSteps: 2, beta: 0.1, saveEvery: 1 })
      expect(String(invocation.options["output"])).toMatch(/^\/.*\/made\/a$/)
      expect(String(invocation.options["store"])).toMatch(/^\/.*\/made\/plumbline\.db$/)
    })

    it("is listed by runs, as a table and as JSON", async () => {
      expect(await okApart(["runs", "--folder", "made"])).toMatch(/^a +ipo +finished +2 +25 .* made\/a$/m)
      const [run] = jsonLines(await ok(["runs", "--store", "made/plumbline.db", "--json"]))
      expect(run).toMatchObject({ name: "a", algorithm: "ipo", status: "finished", last_step: 2, error: null })
    })

    it("is shown with its last metrics and charts", async () => {
      const text = await okApart(["show", "made/a"])
      expect(text).toMatch(/^status +finished at step 2$/m)
      expect(text).toMatch(/^checkpoints +step 1, step 2$/m)
      for (const name of ["loss", "learning_rate", "rewards/margins"])
        expect(text).toMatch(new RegExp(`^${name}: min `, "m"))
      const [run] = jsonLines(await ok(["show", "made/a", "--json"]))
      expect(run!["metrics"]).toMatchObject([{ step: 1, loss: 25 }, { step: 2 }])
      const wrong = await plumbHere(["show", "made/a", "--metric", "los"], folder)
      expect([wrong.code, wrong.stderr]).toEqual([
        2,
        expect.stringContaining('has no metric "los"; did you mean loss?')
      ])
    })

    it("is not overwritten by a second one", async () => {
      const before = readFileSync(join(folder, "made/a/run.json"))
      const { code, stderr } = await plumbHere(dpo("made/a"), folder)
      expect(code).toBe(1)
      expect(stderr).toContain('made/a already holds a run: continue it with "plumb resume made/a"')
      expect(readFileSync(join(folder, "made/a/run.json")).equals(before)).toBe(true)
    })

    it("is shown through a link, wherever that is", async () => {
      symlinkSync(join(folder, "made/a"), join(folder, "link-to-a"))
      expect(await ok(["show", "link-to-a"])).toMatch(/^status +finished at step 2$/m)
    })

    it("has nothing to resume, and says so", async () => {
      expect(await okApart(["resume", "made/a"])).toBe("made/a is finished; its model is in made/a/final\n")
    })

    it("is not resumed by the folder that it is in, where it would start again", async () => {
      const { code, stderr } = await plumbHere(["resume", "made"], folder)
      expect([code, stderr]).toEqual([1, expect.stringContaining("it has no run.json; made/a has one")])
      expect(readdirSync(join(folder, "made"))).not.toContain("run.json")
      const file = await plumbHere(["resume", "dpo.yaml"], folder)
      expect([file.code, file.stderr]).toEqual([1, expect.stringContaining("it is a file, not a folder")])
    })
  })

  it("stops at its time limit with a checkpoint, and resume goes on to the end", async () => {
    const stopped = await ok(dpo("timed", "--max-steps", "3", "--max-seconds", "0.001"))
    expect(stopped).toMatch(/^stopped at step 1$/m)
    expect(stopped).toMatch(/^go on: +plumb resume timed$/m)
    for (const goOn of [okApart, ok]) await goOn(["resume", join(folder, "timed")], tmpdir())
    expect(jsonLines(readFileSync(join(folder, "timed/metrics.jsonl"), "utf8")).map(({ step }) => step)).toEqual([
      1, 2, 3
    ])
    expect(existsSync(join(folder, "timed/final/model.safetensors"))).toBe(true)
  })

  it("says how to go on where its folder could not be written", async () => {
    await ok(dpo("blocked", "--max-steps", "3", "--max-seconds", "0.001"))
    rmSync(join(folder, "blocked/checkpoints"), { recursive: true })
    write("blocked/checkpoints", "")
    const { code, stderr } = await plumbHere(["resume", "blocked"], folder)
    expect([code, stderr]).toEqual([1, expect.stringContaining("cannot write")])
    expect(stderr).toContain("the run goes on from its beginning, for it has no checkpoint yet: plumb resume blocked")
  })

  it("stops after its step on a signal, with a checkpoint, and calls that no failure", async () => {
    const child = startPlumb(dpo("signalled", "--max-steps", "5000"), folder)
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)))
    child.stderr?.on("data", (chunk) => {
      stderr += String(chunk)
      if (stderr.includes("step 1/5000") && !stderr.includes("SIGTERM")) child.kill("SIGTERM")
    })
    const [code] = (await once(child, "close")) as [number | null]
    expect(code, stderr).toBe(0)
    expect(stderr).toContain("SIGTERM: stopping after this step, with a checkpoint")
    const step = /^stopped at step (\d+)$/m.exec(stdout)?.[1]
    expect(existsSync(join(folder, `signalled/checkpoints/step-${step}/state.json`))).toBe(true)
    expect(existsSync(join(folder, "signalled/run.lock"))).toBe(false)
    expect(await ok(["runs", "--store", "plumbline.db"])).toMatch(/^signalled +dpo +stopped /m)
  })

  it.each([
    ["a training file that is not there", { train: "no.jsonl" }, "no.jsonl: no such file"],
    ["a malformed line", { train: "bad.jsonl" }, "bad.jsonl, line 2"],
    ["a path below a file", { output: "bad.jsonl/x" }, "bad.jsonl is a file, not a folder"],
    [
      "a format that the backend has not",
      { backend: "wasm", precision: "bfloat16" },
      "backend wasm cannot compute in bfloat16 on cpu"
    ],
    [
      "a device that the backend has not",
      { backend: "wasm", device: "cuda" },
      "backend wasm cannot compute in float32 on cuda"
    ]
  ])("fails on %s before anything is written", async (_, changed, message) => {
    write("bad.jsonl", '{"prompt":"a","chosen":"b","rejected":"c"}\n{"prompt":"a"}\n')
    const before = readdirSync(folder)
    const options = { model, train, output: "new/a", ...changed }
    const { code, stderr } = await plumbHere(
      ["dpo", ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])],
      folder
    )
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)])
    expect(readdirSync(folder)).toEqual(before)
  })

  it("plans a run without starting it", async () => {
    const before = readdirSync(folder)
    const args = ["plan", ...dpo("planned", "--json")]
    const [plan] = jsonLines(await okApart(args))
    // 32 pairs, 4 a step
    expect(plan).toMatchObject({ rows: 32, steps: 8 })
    expect(plan!["seconds"]).toBeGreaterThan(0)
    const [adapted] = jsonLines(await ok([...args, "--lora-rank", "2", "--quantised", "true"]))
    expect(adapted!["trained_parameters"]).toBeLessThan(plan!["trained_parameters"] as number)
    // two moments of 4 bytes; of the model nothing moves
    expect(adapted!["memory_bytes"]).toMatchObject({ moments: 8 * (adapted!["trained_parameters"] as number) })
    expect(readdirSync(folder)).toEqual(before)
  })

  it("plans what writes its own data, and a recipe, by the first step", async () => {
    const before = readdirSync(folder)
    const prompts = ["--train", join(golden, "preferences.jsonl"), "--reward", "think_format", "--max-new-tokens", "8"]
    const sizes = ["--batch-size", "4", "--samples", "2", "--inner-epochs", "2", "--save-every", "5"]
    const [online] = jsonLines(await ok(["plan", "grpo", "--model", model, ...prompts, ...sizes, "--json"]))
    // 32 prompts, 4 a rollout, each rollout twice
    expect(online).toMatchObject({ steps: 16, measured: { steps_per_experience: 2 } })
    const { experience_seconds, step_seconds } = online!["measured"] as Readonly<Record<string, number>>
    expect(online!["seconds"]).toBeCloseTo(16 * (experience_seconds! / 2 + step_seconds!), 9)
    const trained = online!["trained_parameters"] as number
    // at steps 5, 10, 15 and 16, of which the two newest are kept, and the model
    expect([online!["checkpoint_bytes"], online!["disk_bytes"]]).toEqual([12 * trained, 2 * 12 * trained + 4 * trained])
    const recipe = join(root, "test", "fixtures", "recipes", "two-stages.ts")
    const stages = ["--model", model, "--train", join(golden, "preferences.jsonl"), "--steps", "3"]
    const text = await ok(["plan", "run", recipe, ...stages])
    expect(text).toMatch(/^steps +3$/m)
    expect(text).toMatch(/^time +about \S+: \S+ s to get the data of a step, and \S+ s to learn from them at each$/m)
    expect(readdirSync(folder)).toEqual(before)
  })

  it("runs a recipe by its parameters, and resumes it from one of its stages", async () => {
    const recipe = join(root, "test/fixtures/recipes/two-stages.ts")
    const text = await okApart(["run", recipe, "--model", model, "--train", train, "--steps", "2", ...WASM])
    expect(text).toContain("model:   runs/two-stages/second/final")
    expect(await ok(["show", "runs/two-stages"])).toMatch(/^run +first \(sft\)$[^]*^run +second \(sft\)$/m)
    rmSync(join(folder, "runs/two-stages/second"), { recursive: true })
    await okApart(["resume", join(folder, "runs/two-stages/first")], tmpdir())
    const above = await plumbHere(["resume", "runs"], folder)
    expect([above.code, above.stderr]).toEqual([
      1,
      expect.stringContaining("neither it nor a folder in it has a run.json")
    ])
    renameSync(join(folder, "runs/two-stages"), join(folder, "runs/renamed"))
    rmSync(join(folder, "runs/renamed/second/final"), { recursive: true })
    await ok(["resume", "runs/renamed"])
    expect(existsSync(join(folder, "runs/renamed/second/final/model.safetensors"))).toBe(true)
    renameSync(join(folder, "runs/renamed"), join(folder, "runs/two-stages"))
    expect(existsSync(join(folder, "runs/two-stages/second/final/model.safetensors"))).toBe(true)
    const { code, stderr } = await plumbHere(["run", recipe, "--stps", "2"], folder)
    expect([code, stderr]).toEqual([2, expect.stringContaining("unknown option --stps; did you mean --steps?")])
  })
})
