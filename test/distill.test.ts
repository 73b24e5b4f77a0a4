import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import { createModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"

let folder: string
const at = (name: string) => join(folder, name)

/** A model folder that reads bytes. */
const made = (name: string, seed: number, width: number) =>
  Effect.gen(function* () {
    yield* ModelRuntime
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS })
    const size = { vocabulary: tokenizer.vocabSize, width, layers: 1, heads: 2, mlpWidth: 2 * width, maxPositions: 32 }
    const settings = { initializer_range: 0.3, eos_token_id: tokenizer.eosId }
    const model = createModel({ family: llama, ...size, settings }, seed)
    yield* saveModel(model, at(name), { extraFiles: tokenizer.files })
    model.dispose()
  })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-distill-"))
  const rows = ["one", "three", "seven", "ten"].map((word) => ({ prompt: `${word} `, completion: word.toUpperCase() }))
  writeFileSync(at("rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  const models = Effect.all([made("teacher", 1, 16), made("student", 2, 8)])
  await Effect.runPromise(Effect.provide(models, ModelRuntime.layerWasm))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const finished = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await plumbHere([...args, ...WASM])
  expect(code, stderr).toBe(0)
  return stdout
}

const teacherLogits = (output: string, ...more: ReadonlyArray<string>) => {
  const files = ["--model", at("teacher"), "--train", at("rows.jsonl"), "--output", at(output)]
  return ["teacher-logits", ...files, ...more]
}
const teach = (output: string, ...more: ReadonlyArray<string>) => finished(...teacherLogits(output, ...more))

const losses = (run: string): ReadonlyArray<number> =>
  readFileSync(join(at(run), "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { readonly kd_loss: number }).kd_loss)

const distil = (run: string, ...more: ReadonlyArray<string>) => {
  const files = ["--model", at("student"), "--output", at(run)]
  return finished("distill", ...files, "--batch-size", "4", "--max-steps", "20", "--learning-rate", "1e-2", ...more)
}

describe("a teacher's logits", () => {
  it("are gone on with where the writer stopped, and can be written in shares", async () => {
    const begun = await plumb([...teacherLogits("whole.jsonl", "--top-k", "5", "--micro-batch-tokens", "16"), ...WASM])
    expect(begun.code, begun.stderr).toBe(0)
    const whole = readFileSync(at("whole.jsonl"), "utf8")
    const lines = whole.trim().split("\n")
    expect(lines.map((line) => (JSON.parse(line) as { readonly index: number }).index).toSorted()).toEqual([0, 1, 2, 3])
    // torn off in the third line
    writeFileSync(at("whole.jsonl"), `${lines.slice(0, 2).join("\n")}\n${lines[2]!.slice(0, 40)}`)
    await teach("whole.jsonl", "--top-k", "5", "--micro-batch-tokens", "16")
    expect(readFileSync(at("whole.jsonl"), "utf8").trim().split("\n").toSorted()).toEqual(lines.toSorted())
    await teach("share.jsonl", "--top-k", "5", "--start", "2", "--end", "3")
    const [share] = readFileSync(at("share.jsonl"), "utf8").trim().split("\n")
    // a share's rows have the numbers that they have in the file, so shares can be put together
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(JSON.parse(share!))
    expect(JSON.parse(share!)).toMatchObject({ index: 2 })
  })

  it.each([
    ["--start", "4"],
    ["--end", "2", "--start", "2"]
  ])("are not written of no rows: %s %s", async (option, ...more) => {
    const files = ["--model", at("teacher"), "--train", at("rows.jsonl"), "--output", at("none.jsonl")]
    const { code, stderr } = await plumbHere(["teacher-logits", ...files, option, ...more, ...WASM])
    expect([code, existsSync(at("none.jsonl"))]).toEqual([1, false])
    expect(stderr).toMatch(new RegExp(`${option}: rows \\d to \\d are none of the 4 of`))
  })

  it("teach as the teacher itself does", async () => {
    await teach("all.jsonl", "--top-k", "300")
    await distil("stored", "--train", at("all.jsonl"))
    await distil("live", "--train", at("rows.jsonl"), "--teacher", at("teacher"), "--top-k", "300")
    const [stored, live] = [losses("stored"), losses("live")]
    // six digits of each logit are stored
    stored.forEach((loss, step) => expect(Math.abs(loss - live[step]!)).toBeLessThan(1e-3))
    expect(stored.at(-1)!).toBeLessThan(stored[0]! - 0.5)
  })

  it("may name fewer tokens than are stored, and not more", async () => {
    await distil("fewer", "--train", at("all.jsonl"), "--top-k", "3")
    await distil("few", "--train", at("rows.jsonl"), "--teacher", at("teacher"), "--top-k", "3")
    const few = losses("few")
    losses("fewer").forEach((loss, step) => expect(Math.abs(loss - few[step]!)).toBeLessThan(1e-3))
    const files = ["--model", at("student"), "--train", at("all.jsonl"), "--output", at("never")]
    const { code, stderr } = await plumbHere(["distill", ...files, "--batch-size", "4", "--top-k", "400", ...WASM])
    expect([code, stderr.includes("not 400: make more with plumb teacher-logits")]).toEqual([1, true])
  })

  it("are asked for on the student's own responses", async () => {
    const onPolicy = ["--on-policy", "1", "--loss", "jsd", "--max-new-tokens", "6"]
    await distil("own", "--train", at("rows.jsonl"), "--teacher", at("teacher"), ...onPolicy)
    const own = losses("own")
    // four prompts of 20 bytes in all, and at most six of each answer; the rows' own answers would be 20 with their ends
    const [step] = readFileSync(join(at("own"), "metrics.jsonl"), "utf8").split("\n")
    expect((JSON.parse(step!) as { readonly num_tokens: number }).num_tokens).toBe(20 + 4 * 6)
    expect(own.at(-1)!).toBeLessThan(0.8 * own[0]!)
  })

  it("must be there, and be of the student's vocabulary", async () => {
    const files = ["--model", at("student"), "--output", at("never"), "--batch-size", "4", ...WASM]
    const none = await plumbHere(["distill", ...files, "--train", at("rows.jsonl")])
    expect([none.code, none.stderr.includes("rows.jsonl:1 has no teacher's logits")]).toEqual([1, true])
    const alien = readFileSync(at("all.jsonl"), "utf8").replaceAll(/"vocabulary":\d+/g, '"vocabulary":99')
    writeFileSync(at("alien.jsonl"), alien)
    const other = await plumbHere(["distill", ...files, "--train", at("alien.jsonl")])
    expect([other.code, other.stderr.includes("vocabulary has 99 tokens")]).toEqual([1, true])
  })
})
