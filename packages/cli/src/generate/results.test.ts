import { Effect } from "effect"
import { appendFileSync, mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { openResults } from "./results.ts"

const prompts = [Int32Array.of(1, 2), Int32Array.of(3), Int32Array.of(4, 5, 6)]
const file = () => join(mkdtempSync(join(tmpdir(), "plumbline-")), "out.jsonl")
const line = (index: number, sample: number) => JSON.stringify({ index, sample })

it("goes on after the last prompt that has all its responses", async () => {
  const options = { output: file(), samples: 2, seed: 1 }
  const first = await Effect.runPromise(openResults(options, prompts))
  expect([0, 1, 2].map(first.has)).toEqual([false, false, false])
  await Effect.runPromise(first.write(0, [line(0, 0), line(0, 1)]))
  const whole = readFileSync(options.output, "utf8")
  // killed within the second prompt: one response is there, one is torn
  appendFileSync(options.output, `${line(1, 0)}\n{"index":1,"sam`)
  const second = await Effect.runPromise(openResults(options, prompts))
  expect([0, 1, 2].map(second.has)).toEqual([true, false, false])
  expect(readFileSync(options.output, "utf8")).toBe(whole)
})

it("refuses a file of other prompts, of other options, or of somebody else", async () => {
  const options = { output: file(), samples: 1, seed: 1 }
  await Effect.runPromise(openResults(options, prompts))
  const refusal = (...args: Parameters<typeof openResults>) =>
    Effect.runPromise(Effect.map(Effect.flip(openResults(...args)), ({ message }) => message))
  const reason = `${options.output}: it was not made from these prompts with these options; name another file, or remove it`
  expect(await refusal({ ...options, seed: 2 } as typeof options, prompts)).toBe(reason)
  expect(await refusal(options, prompts.slice(1))).toBe(reason)
  const foreign = file()
  appendFileSync(foreign, "a diary\n")
  expect(await refusal({ ...options, output: foreign }, prompts)).toContain("it was not made from these prompts")
  expect(readFileSync(foreign, "utf8")).toBe("a diary\n")
})
