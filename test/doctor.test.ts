import { once } from "node:events"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startPlumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden, root } from "./reference-files.ts"

const model = join(golden, "models", "llama")

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-doctor-"))
  for (const [name, rows] of Object.entries(files)) {
    writeFileSync(join(folder, name), rows.map((row) => JSON.stringify(row)).join("\n"))
  }
  if (hasGolden) doubleBos(join(folder, "doubled"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const long = "what is it that is asked here ".repeat(20)
const files = {
  "shown.jsonl": [
    { prompt: "Q", completion: "A" },
    { prompt: "Why so", completion: "it is because of that, and of this" },
    { prompt: "Or", completion: "yes" },
    { prompt: "And then what", completion: "no more" }
  ],
  "chats.jsonl": ["a", "b", "c"].map((content) => ({
    messages: [
      { role: "user", content: "Q" },
      { role: "assistant", content }
    ]
  })),
  "talks.jsonl": [
    { messages: [{ role: "user", content: "Q" }], answer: "A" },
    { messages: [{ role: "user", content: "R" }], answer: "B" }
  ],
  "crowded.jsonl": [
    { prompt: "Q", completion: "A" },
    { prompt: long, completion: "A" },
    { prompt: "R", completion: "B" }
  ],
  "endless.jsonl": [
    { prompt: "Q", completion: long },
    { prompt: "R", completion: long }
  ],
  "pairs.jsonl": [
    { prompt: "Q", chosen: "A", rejected: "B" },
    { prompt: "R", chosen: "yes", rejected: "no" }
  ],
  "asked.jsonl": [
    { prompt: "Q", answer: "A" },
    { prompt: "R", answer: "B" }
  ]
}

/** The model with a template that puts BOS in front twice. */
const doubleBos = (target: string) => {
  cpSync(model, target, { recursive: true })
  const file = join(target, "tokenizer_config.json")
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>
  const template = "{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
  rmSync(join(target, "chat_template.jinja"), { force: true })
  writeFileSync(file, JSON.stringify({ ...config, bos_token: "<|im_start|>", chat_template: template }))
}

/** What the doctor says of a run; the exit code is held to whether something refuses it. */
const doctor = async (...args: ReadonlyArray<string>) => {
  const before = readdirSync(folder)
  const { code, stdout, stderr } = await plumbHere(["doctor", ...args, ...WASM, "--json"], folder)
  expect(stdout, stderr).not.toBe("")
  const said = JSON.parse(stdout) as {
    readonly refused: ReadonlyArray<string>
    readonly findings: ReadonlyArray<{ readonly check: string; readonly verdict: string; readonly text: string }>
    readonly first_step: Readonly<Record<string, number>> | null
  }
  expect(code).toBe(said.refused.length === 0 ? 0 : 1)
  expect(readdirSync(folder)).toEqual(before)
  const of = (check: string) => said.findings.find((finding) => finding.check === check)
  return { ...said, stderr, of }
}

const sized = ["--batch-size", "2", "--max-length", "64"]

describe.skipIf(!hasGolden)("plumb doctor", () => {
  it("finds nothing wrong with a run that is right, and makes its first step", async () => {
    const { findings, first_step, of, refused } = await doctor(
      "dpo",
      "--model",
      model,
      "--train",
      "pairs.jsonl",
      ...sized
    )
    expect(refused).toEqual([])
    expect(findings.every(({ verdict }) => verdict === "fine")).toBe(true)
    expect(first_step!["loss"]).toBeCloseTo(Math.LN2, 6)
    expect(of("first-step")!.text).toContain("loss is 0.693147")
    expect(of("micro-batches")!.text).toMatch(/^2 and 1 at once make the same step: loss/)
    expect(of("memory")!.text).toContain("a plan estimates")
  })

  it("refuses a first DPO loss other than ln 2, unless that is meant", async () => {
    const other = ["--reference", join(golden, "models", "nemotron")]
    const run = ["dpo", "--model", model, "--train", "pairs.jsonl", ...other, ...sized]
    const { of, refused, stderr } = await doctor(...run)
    expect(refused).toEqual(["first-step"])
    expect(of("first-step")!.text).toContain("the policy as it begins is not its reference")
    expect(stderr).toContain("hint: where that is meant: --accept first-step")
    const meant = await doctor(...run, "--accept", "first-step")
    expect(meant.of("first-step")!.verdict).toBe("warning")
  })

  it("refuses a step that depends on how its batch is split", async () => {
    const recipe = join(root, "test", "fixtures", "recipes", "mean-of-means.ts")
    const run = ["run", recipe, "--tokenizer", model, "--train", "shown.jsonl"]
    const { of, refused } = await doctor(...run)
    expect(refused).toEqual(["micro-batches"])
    expect(of("micro-batches")!.text).toMatch(/^4 and 1 at once make different steps: loss \S+ and \S+/)
    const single = await doctor(...run, "--micro-batch-size", "1")
    expect(single.of("micro-batches")!.text).toMatch(/^1 and 2 at once make different steps/)
  })

  it("refuses prompts that fill the length, unless they are to be left out, and ends that are always cut", async () => {
    const run = (file: string) => ["sft", "--model", model, "--train", file, ...sized]
    const crowded = await doctor(...run("crowded.jsonl"))
    expect(crowded.refused).toEqual(["prompt-length"])
    expect(crowded.of("prompt-length")!.text).toContain("1 row is left out, row 2 first: the prompt alone fills 64")
    expect((await doctor(...run("crowded.jsonl"), "--overlong", "drop")).refused).toEqual([])
    expect((await doctor(...run("endless.jsonl"))).refused).toEqual(["end-of-turn"])
  })

  it("refuses two BOS, in rows to imitate and in prompts, as the run itself does", async () => {
    const doubled = join(folder, "doubled")
    const { of } = await doctor("sft", "--model", doubled, "--train", "chats.jsonl", ...sized)
    expect(of("bos")).toMatchObject({ verdict: "refused" })
    expect(of("bos")!.text).toContain("chats.jsonl, line 1: begins with two beginning-of-text tokens")
    const asked = ["grpo", "--model", doubled, "--train", "talks.jsonl", "--reward", "exact_answer", "--samples", "2"]
    expect((await doctor(...asked, ...sized)).of("bos")!.text).toContain("talks.jsonl, line 1: begins with two")
    const run = ["sft", "--model", doubled, "--train", "chats.jsonl", "--output", join(folder, "run"), ...sized]
    const { code, stderr } = await plumbHere([...run, ...WASM], folder)
    expect(code).toBe(1)
    expect(stderr).toContain("begins with two beginning-of-text tokens")
    expect(existsSync(join(folder, "run"))).toBe(false)
  })

  it("holds the sampler against the trainer, filtered or not, and tells of a batch that teaches nothing", async () => {
    const run = [
      "grpo",
      "--model",
      model,
      "--train",
      "asked.jsonl",
      "--reward",
      "exact_answer",
      "--max-new-tokens",
      "4"
    ]
    const { findings, of, refused } = await doctor(...run, "--samples", "2", "--top-k", "5", ...sized)
    expect(refused).toEqual([])
    expect(of("sampler")!.text).toMatch(/^sampler and trainer are \S+ nats a token apart/)
    expect(Number(/are (\S+) nats/.exec(of("sampler")!.text)![1])).toBeLessThan(1e-4)
    expect(findings.filter(({ verdict }) => verdict === "warning").map(({ text }) => text)).toContainEqual(
      expect.stringContaining("equal rewards: nothing can be learnt")
    )
  })

  it("examines the first stage of a recipe and leaves the others", async () => {
    const recipe = join(root, "test", "fixtures", "recipes", "two-stages.ts")
    const { first_step, refused } = await doctor("run", recipe, "--model", model, "--train", "shown.jsonl")
    expect(refused).toEqual([])
    expect(first_step!["num_tokens"]).toBeGreaterThan(0)
  })

  it("tells of an output that is taken, and of what would fail besides", async () => {
    const taken = ["--output", join(folder, "shown.jsonl")]
    const run = ["sft", "--model", model, "--train", "shown.jsonl", "--batch-size", "9"]
    const { findings, refused } = await doctor(...run, ...taken)
    expect(refused).toEqual(["run"])
    const texts = findings.filter(({ verdict }) => verdict === "refused").map(({ text }) => text)
    expect(texts[0]).toContain("is a file, not a folder")
    expect(texts[1]).toBe("4 rows do not fill one batch of 9")
  })

  it("refuses more memory than there is before it takes any", async () => {
    const wide = join(folder, "wide")
    cpSync(model, wide, { recursive: true })
    const config = JSON.parse(readFileSync(join(wide, "config.json"), "utf8")) as Record<string, unknown>
    const size = { hidden_size: 16384, intermediate_size: 65536, num_hidden_layers: 64 }
    writeFileSync(join(wide, "config.json"), JSON.stringify({ ...config, ...size }))
    const { findings, of } = await doctor("sft", "--model", wide, "--train", "shown.jsonl", ...sized)
    expect(of("memory")).toMatchObject({ verdict: "refused" })
    expect(of("memory")!.text).toMatch(/^a plan estimates \S+ TiB, and \S+ [GM]iB are there/)
    expect(findings.length).toBe(1)
    rmSync(wide, { recursive: true })
  })

  it.skipIf(process.platform === "win32")("stops at a signal, and leaves nothing behind", async () => {
    const passing = join(folder, "passing")
    mkdirSync(passing)
    const asked = ["grpo", "--model", model, "--train", "asked.jsonl", "--reward", "exact_answer", "--samples", "2000"]
    const child = startPlumb(["doctor", ...asked, "--max-new-tokens", "400", "--batch-size", "2", ...WASM], folder, {
      TMPDIR: passing
    })
    let stderr = ""
    child.stderr!.on("data", (chunk) => (stderr += String(chunk)))
    const left = () => readdirSync(passing).filter((name) => name.startsWith("plumb-"))
    // the store is made when the first step is about to be
    while (!left().some((name) => existsSync(join(passing, name, "plumbline.db")))) await setTimeout(50)
    child.kill("SIGINT")
    const [code] = await once(child, "close")
    expect(stderr).toContain("SIGINT: stopping, nothing is kept")
    expect(stderr).toContain("stopped before it had seen the run")
    expect([code, left()]).toEqual([1, []])
    rmSync(passing, { recursive: true })
  })
})
