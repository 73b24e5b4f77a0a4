import { Effect } from "effect"
import { appendFileSync, cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it, vi } from "vitest"
import * as results from "./results.ts"

/** Whose lock is given back at once. */
const openResults = (...args: Parameters<typeof results.openResults>) => Effect.scoped(results.openResults(...args))
const prompts = [Int32Array.of(1, 2), Int32Array.of(3), Int32Array.of(4, 5, 6)]
const folder = () => mkdtempSync(join(tmpdir(), "plumbline-"))
const file = () => join(folder(), "out.jsonl")
/** A folder with weights of many blocks; what they are is not read. */
const modelOf = (last: number): string => {
  const model = folder()
  writeFileSync(join(model, "config.json"), "{}")
  writeFileSync(join(model, "model.safetensors"), new Uint8Array(2 ** 20).fill(last, 2 ** 20 - 9))
  return model
}
const model = modelOf(1)
const line = (index: number, sample: number) => JSON.stringify({ index, sample })

it("goes on after the last prompt that has all its responses", async () => {
  const options = { model, output: file(), samples: 2, seed: 1 }
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

it("says what is left to do, also where that is nothing", async () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true)
  const options = { model, output: file(), samples: 1 }
  const first = await Effect.runPromise(openResults(options, prompts))
  const left = () => Effect.runPromise(results.openWork(first, [0, 1, 2], (row) => row))
  expect(await left()).toEqual([0, 1, 2])
  for (const row of [2, 0]) await Effect.runPromise(first.write(row, [line(row, 0)]))
  expect(await left()).toEqual([1])
  expect(said).not.toHaveBeenCalled()
  await Effect.runPromise(first.write(1, [line(1, 0)]))
  expect(await left()).toEqual([])
  expect(said.mock.calls).toEqual([[`${options.output}: all 3 rows are there already; nothing is left to do\n`]])
  said.mockRestore()
})

it("goes on with files of many blocks, whatever lies on their borders", async () => {
  const many = Array.from({ length: 3000 }, (_, row) => Int32Array.of(row))
  const options = { model, output: file(), samples: 2 }
  const first = await Effect.runPromise(openResults(options, many))
  // lines of any length, of characters of four bytes, and one that is longer than a block
  const text = (row: number) => "😀é".repeat(row === 1500 ? 40_000 : row % 90)
  const lines = (row: number) => [0, 1].map((sample) => JSON.stringify({ index: row, sample, text: text(row) }))
  for (let row = 0; row < 2000; row++) await Effect.runPromise(first.write(row, lines(row)))
  const whole = readFileSync(options.output)
  appendFileSync(options.output, `${lines(2000)[0]}\n${lines(2000)[1]!.slice(0, 30)}`)
  const second = await Effect.runPromise(openResults(options, many))
  expect(many.findIndex((_, row) => !second.has(row))).toBe(2000)
  expect(readFileSync(options.output).equals(whole)).toBe(true)
})

it("names a line in the middle that is torn or foreign", async () => {
  const options = { model, output: file(), samples: 1 }
  const first = await Effect.runPromise(openResults(options, prompts))
  await Effect.runPromise(first.write(0, [line(0, 0)]))
  const whole = readFileSync(options.output, "utf8")
  for (const torn of ['{"index":1,"sam', "null", "{}"]) {
    const broken = `${whole}${torn}\n${line(2, 0)}\n`
    writeFileSync(options.output, broken)
    const { message } = await Effect.runPromise(Effect.flip(openResults(options, prompts)))
    expect(message).toContain(`${options.output}: line 2 is not whole (`)
    expect(readFileSync(options.output, "utf8")).toBe(broken)
  }
})

it("refuses a file of other prompts, of other options, of another model, or of somebody else", async () => {
  const options = { model, output: file(), samples: 1, seed: 1 }
  await Effect.runPromise(openResults(options, prompts))
  const refusal = (...args: Parameters<typeof openResults>) =>
    Effect.runPromise(Effect.map(Effect.flip(openResults(...args)), ({ message }) => message))
  const reason = `${options.output}: it was not made from these prompts by this model with these options; name another file, or remove it`
  expect(await refusal({ ...options, seed: 2 } as typeof options, prompts)).toBe(reason)
  expect(await refusal(options, prompts.slice(1))).toBe(reason)
  expect(await refusal({ ...options, model: modelOf(2) }, prompts)).toBe(reason)
  const elsewhere = join(folder(), "copy")
  cpSync(model, elsewhere, { recursive: true })
  expect((await Effect.runPromise(openResults({ ...options, model: elsewhere }, prompts))).has(0)).toBe(false)
  const adapter = modelOf(3)
  const adapted = { ...options, output: file(), adapter }
  await Effect.runPromise(openResults(adapted, prompts))
  expect((await Effect.runPromise(openResults({ ...adapted, adapter: modelOf(3) }, prompts))).has(0)).toBe(false)
  // trained on since, in its place
  cpSync(join(modelOf(4), "model.safetensors"), join(adapter, "model.safetensors"))
  expect(await refusal(adapted, prompts)).toContain("it was not made from these prompts by this model")
  const foreign = file()
  appendFileSync(foreign, "a diary\n")
  expect(await refusal({ ...options, output: foreign }, prompts)).toContain("it was not made from these prompts")
  expect(readFileSync(foreign, "utf8")).toBe("a diary\n")
})

it("says where no file can be", async () => {
  const refusal = (output: string) =>
    Effect.runPromise(Effect.flip(openResults({ model, output, samples: 1 }, prompts))).then(({ message }) => message)
  const here = folder()
  expect(await refusal(here)).toBe(`${here}: it is a folder; name a file in it`)
  expect(await refusal(join(here, "none", "x"))).toBe(`${here}/none/x: there is no folder ${here}/none`)
})

it("is one process's alone, until it is done or dead", async () => {
  const options = { model, output: file(), samples: 1 }
  const inside = Effect.andThen(results.openResults(options, prompts), Effect.flip(openResults(options, prompts)))
  expect((await Effect.runPromise(Effect.scoped(inside))).message).toContain(`process ${process.pid} is writing it`)
  await Effect.runPromise(openResults(options, prompts))
  // of a process that was killed; no pid is so large
  writeFileSync(`${options.output}.lock`, JSON.stringify({ pid: 2 ** 30 }))
  await Effect.runPromise(openResults(options, prompts))
})
