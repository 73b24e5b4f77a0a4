import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE, loadSupervised } from "@plumbline/data"
import { createModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { plumb, WASM } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"

let folder: string
const at = (name: string) => join(folder, name)
const write = (name: string, ...rows: ReadonlyArray<unknown>) =>
  writeFileSync(at(name), rows.map((row) => JSON.stringify(row)).join("\n"))

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-constitution-"))
  write("prompts.jsonl", { prompt: "How?" }, { messages: [{ role: "user", content: "Why?" }] })
  write("constitution.jsonl", { critique: "What is rude?", revision: "Be polite." })
  const made = Effect.gen(function* () {
    yield* ModelRuntime
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
    const size = { vocabulary: tokenizer.vocabSize, width: 16, layers: 1, heads: 2, mlpWidth: 32, maxPositions: 512 }
    const model = createModel({ family: llama, ...size, settings: { initializer_range: 0.4 } }, 1)
    yield* saveModel(model, at("model"), { extraFiles: tokenizer.files })
    model.dispose()
  })
  await Effect.runPromise(Effect.provide(made, ModelRuntime.layerWasm))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("plumb constitution writes revisions that plumb sft reads, and goes on where it stopped", async () => {
  const args = ["--model", at("model"), "--input", at("prompts.jsonl"), "--constitution", at("constitution.jsonl")]
  const run = (start = plumbHere) =>
    start(["constitution", ...args, "--output", at("revised.jsonl"), "--max-new-tokens", "8", ...WASM])
  const first = await run(plumb)
  expect(first.code, first.stderr).toBe(0)
  const whole = readFileSync(at("revised.jsonl"), "utf8")
  const records = await Effect.runPromise(loadSupervised(at("revised.jsonl")))
  expect(records.map((record) => record.kind)).toEqual(["completion", "completion"])
  expect(records[1]).toMatchObject({ prompt: [{ role: "user", content: "Why?" }] })
  // killed within the second row
  writeFileSync(at("revised.jsonl"), whole.slice(0, whole.indexOf("\n") + 20))
  expect((await run()).code).toBe(0)
  expect(readFileSync(at("revised.jsonl"), "utf8")).toBe(whole)
  write("constitution.jsonl", { critique: "What is false?", revision: "Be true." })
  const other = await run()
  expect([other.code, other.stderr.includes("it was not made from these prompts")]).toEqual([1, true])
})
