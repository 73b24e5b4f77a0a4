import { byteTokenizer } from "@plumbline/data"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ktoCommand, KtoCommandOptions } from "./kto-command.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-kto-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("plumb kto", () => {
  // the specials follow the 256 bytes
  const [BOS, EOS] = [256, 257]
  const tokenizer = byteTokenizer({ specials: ["<s>", "</s>"], bos: "<s>", eos: "</s>" })

  it.each([
    ["kto", [97, 98, EOS], 1],
    ["apo_zero_unpaired", [97, 98, EOS], 1],
    ["bco", [BOS, 97, 98, EOS], 2]
  ])("reads rows as TRL's trainer of %s does", async (loss, ids, prompt) => {
    const train = join(folder, `${loss}.jsonl`)
    writeFileSync(train, JSON.stringify({ prompt: "a", completion: "b", label: true }))
    const options = Schema.decodeUnknownSync(KtoCommandOptions)({ model: "m", train, output: "o", loss })
    const reading = ktoCommand.data(options).read(tokenizer, train, { maxLength: 8, policy: "error" })
    const [row] = (await Effect.runPromise(reading)).dataset.rows
    expect([[...row!.ids], row!.lossMask.indexOf(1), row!.label]).toEqual([ids, prompt, true])
  })
})
