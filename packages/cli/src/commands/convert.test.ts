import { loadPreferences } from "@plumbline/data"
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { convertCommand } from "./convert.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-convert-"))
const input = join(folder, "hh.jsonl")
const transcript = (answer: string) => `\n\nHuman: Sing\n\nAssistant: ${answer}`
writeFileSync(input, `${JSON.stringify({ chosen: transcript("La"), rejected: transcript("No") })}\n`)

const run = (output: string, ...more: ReadonlyArray<string>) =>
  convertCommand(["--from", "anthropic-hh", "--input", input, "--output", join(folder, output), ...more])

it("writes a file that plumb dpo reads, and replaces none", async () => {
  await Effect.runPromise(run("pairs.jsonl"))
  const [pair] = await Effect.runPromise(loadPreferences(join(folder, "pairs.jsonl")))
  expect(pair).toMatchObject({
    prompt: [{ role: "user", content: "Sing" }],
    chosen: [{ role: "assistant", content: "La" }],
    rejected: [{ role: "assistant", content: "No" }]
  })
  const again = await Effect.runPromise(Effect.flip(run("pairs.jsonl")))
  expect(again.message).toContain("it is there already")
})

it("says what a data set can become", async () => {
  const { message } = await Effect.runPromise(Effect.flip(run("d.jsonl", "--to", "demonstrations")))
  expect(message).toBe("anthropic-hh cannot become demonstrations; it becomes preferences")
})
