import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-adapters-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const llama = join(golden, "models", "llama")
const adapter = join(golden, "adapters", "llama-lora")
const preferences = join(golden, "preferences.jsonl")

interface Expected {
  readonly input_ids: ReadonlyArray<number>
  readonly token_logprobs: ReadonlyArray<number>
}

const run = (...args: ReadonlyArray<string>) => runBy(plumbHere, args)

const runBy = async (start: typeof plumbHere, args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await start([...args, ...WASM])
  expect(code, stderr).toBe(0)
  return stdout
}

/** Log-probs of the row that peft's were computed on. */
const score = async (...model: ReadonlyArray<string>): Promise<ReadonlyArray<number>> => {
  const { input_ids } = expected()
  const input = join(folder, "input.jsonl")
  writeFileSync(input, JSON.stringify({ input_ids }))
  return JSON.parse(await run("score", ...model, "--input", input, "--json")).token_logprobs.slice(1)
}

let baseScore: ReturnType<typeof score> | undefined
const ofBase = () => (baseScore ??= score("--model", llama))

const expected = (): Expected => JSON.parse(readFileSync(join(adapter, "expected.json"), "utf8"))

const worst = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

const metrics = (output: string): ReadonlyArray<Readonly<Record<string, number>>> =>
  readFileSync(join(output, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

/** What no other test starts. */
const apart = ["simpo", "orpo"]

const train = async (command: string, name: string, flags: string): Promise<string> => {
  const output = join(folder, name)
  const rows = join(folder, "rows.jsonl")
  writeFileSync(rows, readFileSync(preferences, "utf8").split("\n").slice(0, 4).join("\n"))
  const files = ["--model", llama, "--train", rows, "--output", output]
  // every step sees the same four rows
  const common = "--max-steps 3 --batch-size 4 --learning-rate 1e-2 --lr-schedule constant"
  await runBy(apart.includes(command) ? plumb : plumbHere, [command, ...files, ...`${common} ${flags}`.split(" ")])
  return output
}

describe.skipIf(!hasGolden)("an adapter that peft wrote", () => {
  it("scores as peft does, and so does the model it is merged into, which takes no second helping", async () => {
    const { token_logprobs } = expected()
    const adapted = await score("--model", llama, "--adapter", adapter)
    // recorded to six digits
    expect(worst(adapted, token_logprobs)).toBeLessThan(1e-5)
    const output = join(folder, "merged")
    await run("merge", "--model", llama, "--adapter", adapter, "--output", output)
    expect(worst(await score("--model", output), adapted)).toBeLessThan(1e-5)
    const again = ["--model", output, "--adapter", adapter]
    for (const command of [
      ["merge", ...again, "--output", join(folder, "twice")],
      ["score", ...again, "--text", "x"]
    ]) {
      const { code, stderr } = await plumbHere([...command, ...WASM])
      expect([code, stderr]).toEqual([1, expect.stringContaining("merged into this model already")])
    }
    expect(existsSync(join(folder, "twice"))).toBe(false)
    const before = readFileSync(join(output, "model.safetensors"))
    const onto = await plumbHere(["merge", "--model", llama, "--adapter", adapter, "--output", output, ...WASM])
    expect([onto.code, onto.stderr]).toEqual([1, expect.stringContaining("it is there already; name another folder")])
    expect(readFileSync(join(output, "model.safetensors")).equals(before)).toBe(true)
    const { code, stderr } = await plumbHere([
      "merge",
      "--model",
      llama,
      "--adapter",
      output,
      "--output",
      output,
      ...WASM
    ])
    expect([code, stderr]).toEqual([1, expect.stringContaining("is read, and would be lost")])
  })

  it("is trained further, from where it was", async () => {
    const output = await train("sft", "further", `--adapter ${adapter}`)
    const config = (path: string) => JSON.parse(readFileSync(join(path, "adapter_config.json"), "utf8"))
    expect(config(join(output, "final"))).toMatchObject({ r: 8, lora_alpha: 16, target_modules: ["v_proj", "q_proj"] })
    const losses = metrics(output).map(({ loss }) => loss!)
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    const later = await score("--model", llama, "--adapter", join(output, "final"))
    expect(worst(later, expected().token_logprobs)).toBeGreaterThan(1e-3)
  })

  it("is its own reference where preferences train it further", async () => {
    const output = await train("dpo", "further-dpo", `--adapter ${adapter}`)
    expect(metrics(output)[0]).toMatchObject({ loss: Math.fround(Math.LN2), "rewards/margins": 0 })
  })
})

// command, what its first step must show
const trained: ReadonlyArray<readonly [string, Readonly<Record<string, number>>]> = [
  ["sft --lora-rank 4 --lora-dropout 0.1 --lora-plus-ratio 4", {}],
  ["dpo --lora-rank 4 --quantised true", { loss: Math.fround(Math.LN2), "rewards/margins": 0 }],
  ["dpo --adapter-type ia3 --reference-sync-steps 1", { loss: Math.fround(Math.LN2) }],
  ["simpo --lora-rank 4 --dora true --lora-targets q_proj,v_proj --train-modules lm_head", {}],
  ["orpo --adapter-type vera --lora-rank 8", {}]
]

describe.skipIf(!hasGolden)("plumb %s", () => {
  it.each(trained)(
    "%s trains an adapter that its folder gives back, and leaves the model alone",
    async (line, first) => {
      const [command, ...flags] = line.split(" ")
      const before = readFileSync(join(llama, "model.safetensors"))
      const output = await train(command!, line.replaceAll(/\W+/g, "-"), flags.join(" "))
      const steps = metrics(output)
      expect(steps[0]).toMatchObject(first)
      expect(steps.at(-1)!["loss"]).toBeLessThan(steps[0]!["loss"]!)
      expect(readFileSync(join(llama, "model.safetensors")).equals(before)).toBe(true)
      const final = join(output, "final")
      expect(existsSync(join(final, "model.safetensors"))).toBe(false)
      const adapted = await score("--model", llama, "--adapter", final)
      const whole = join(output, "merged")
      await run("merge", "--model", llama, "--adapter", final, "--output", whole)
      expect(worst(await score("--model", whole), adapted)).toBeLessThan(1e-5)
      expect(worst(await ofBase(), adapted)).toBeGreaterThan(1e-3)
    }
  )
})

describe.skipIf(!hasGolden)("a reward model trained through an adapter", () => {
  it("brings its head along, beside the language model it rides on and merged into it", async () => {
    const output = await train("rm", "rm", "--lora-rank 4 --pooling mean")
    const input = join(folder, "judged.jsonl")
    writeFileSync(input, JSON.stringify({ prompt: "How many?\n", response: "Three" }))
    const reward = async (...model: ReadonlyArray<string>): Promise<number> =>
      JSON.parse(await run("reward", ...model, "--input", input, "--json")).reward
    const final = ["--model", llama, "--adapter", join(output, "final")]
    const merged = join(folder, "rm-merged")
    await run("merge", ...final, "--output", merged)
    const value = await reward(...final)
    expect(Math.abs(value)).toBeGreaterThan(1e-3)
    expect(Math.abs((await reward("--model", merged)) - value)).toBeLessThan(1e-5)
  })
})

const virtual: ReadonlyArray<readonly [string, string]> = [
  ["dpo", "--adapter-type prefix --virtual-tokens 4"],
  ["sft", "--adapter-type prompt --virtual-tokens 6 --virtual-token-text answer"],
  ["grpo", "--adapter-type prefix --virtual-tokens 4 --reward think_format --samples 2 --max-new-tokens 6"]
]

describe.skipIf(!hasGolden)("virtual tokens before every row", () => {
  it.each(virtual)("%s %s trains them, and they cannot be merged", async (command, flags) => {
    const output = await train(command, `virtual-${command}`, flags)
    const steps = metrics(output)
    if (command !== "grpo") expect(steps.at(-1)!["loss"]).toBeLessThan(steps[0]!["loss"]!)
    if (command === "dpo") expect(steps[0]).toMatchObject({ loss: Math.fround(Math.LN2), "rewards/margins": 0 })
    const final = ["--model", llama, "--adapter", join(output, "final")]
    expect(worst(await ofBase(), await score(...final))).toBeGreaterThan(1e-3)
    const merged = await plumbHere(["merge", ...final, "--output", join(output, "merged"), ...WASM])
    expect([merged.code, existsSync(join(output, "merged"))]).toEqual([1, false])
    expect(merged.stderr).toContain("no weights say what they do: use it as an adapter")
  })

  it("go before a reward model's rows, too", async () => {
    const output = await train("rm", "virtual-rm", "--adapter-type prompt --virtual-tokens 4")
    const input = join(folder, "judged.jsonl")
    writeFileSync(input, JSON.stringify({ prompt: "How many?\n", response: "Three" }))
    const final = ["--model", llama, "--adapter", join(output, "final")]
    const { reward } = JSON.parse(await run("reward", ...final, "--input", input, "--json"))
    expect(Math.abs(reward)).toBeGreaterThan(1e-3)
  })
})

// what writes its own experience, from a generator over the adapted weights
const online: ReadonlyArray<readonly [string, string]> = [
  ["grpo", "--reward think_format --samples 2 --max-new-tokens 6 --kl-coefficient 0.1"],
  ["ppo", "--reward think_format --samples 2 --max-new-tokens 6"],
  ["ppo", "--reward think_format --samples 2 --max-new-tokens 6 --critic-lora-rank 4"],
  ["spin", "--max-new-tokens 6 --iteration-steps 1"]
]

describe.skipIf(!hasGolden)("what learns from its own responses", () => {
  it.each(online)("%s %s trains an adapter", async (command, flags) => {
    const output = await train(command, `online-${command}${flags.replaceAll(/\W+/g, "-")}`, `--lora-rank 4 ${flags}`)
    expect(metrics(output).map(({ step }) => step)).toEqual([1, 2, 3])
    expect(JSON.parse(readFileSync(join(output, "final", "adapter_config.json"), "utf8"))).toMatchObject({ r: 4 })
    expect(existsSync(join(output, "final", "model.safetensors"))).toBe(false)
    const critic = join(output, "checkpoints", "step-3", "critic")
    expect(existsSync(join(critic, "adapter_config.json"))).toBe(flags.includes("--critic-lora-rank"))
  })
})

// flags, then what the failure says
const refused: ReadonlyArray<readonly [string, number, string]> = [
  ["--lora-rank 0", 2, "--lora-rank: expected a value greater than 0"],
  ["--lora-alpha 8", 1, "--lora-alpha: is read with --lora-rank or --adapter-type only"],
  ["--lora-rank 65 --lora-init pissa", 1, "has no 65 singular values"],
  ["--lora-rank 2 --lora-targets c_attn", 1, "the model has no linear layer c_attn"],
  ["--lora-rank 3 --lora-init orthogonal", 1, "orthogonal initialisation needs even ranks"],
  ["--adapter-type ia3 --lora-rank 2", 1, "--lora-rank: is not read by --adapter-type ia3"],
  ["--quantised true", 1, "--quantised: is for the model below an adapter"],
  ["--adapter-type prompt", 1, "--virtual-tokens: must be given with --adapter-type prompt"],
  ["--adapter-type prefix --virtual-tokens 4 --lora-rank 2", 1, "--lora-rank: is not read by --adapter-type prefix"],
  ["--adapter-type prefix --virtual-tokens 4096", 1, "4096 virtual tokens leave no room"],
  ["--adapter-type vera", 1, "--lora-rank: must be given with --adapter-type vera"],
  [`--adapter ${adapter} --lora-rank 2`, 1, "--lora-rank: begins a new adapter, and --adapter goes on with one"],
  [`--adapter ${join(golden, "models")}`, 1, "it has no adapter_config.json"],
  ["--adapter nowhere", 1, "nowhere: there is no such folder"]
]

describe.skipIf(!hasGolden)("before the first step, with the reason and no run folder", () => {
  it.each(refused)("plumb sft %s is refused", async (flags, status, message) => {
    const output = join(folder, "never")
    const files = ["--model", llama, "--train", preferences, "--output", output]
    const { code, stderr } = await plumbHere(["sft", ...files, ...flags.split(" "), ...WASM])
    expect(code, stderr).toBe(status)
    expect(stderr).toContain(message)
    expect(existsSync(output)).toBe(false)
  })
})
