import { philoxStream } from "@plumbline/runtime"
import { writeFileSync } from "node:fs"
import { plumbHere } from "../plumb-here.ts"
import { WASM } from "../plumb.ts"

export interface Offline {
  readonly prompt: string
  readonly chat: boolean
  /** What a client must send to get the same. */
  readonly seed: number
  /** Of sample 0 and 1. */
  readonly texts: ReadonlyArray<string>
  readonly ids: ReadonlyArray<ReadonlyArray<number>>
  readonly logProbs: ReadonlyArray<ReadonlyArray<number>>
}

interface Line {
  readonly index: number
  readonly text: string
  readonly response_ids: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
}

const SEED = 5

/** What `plumb generate` says, two samples a prompt, to as many prompts; each second one is a chat. */
export const offlineAnswers = async (
  model: string,
  count: number,
  maxNewTokens: number
): Promise<ReadonlyArray<Offline>> => {
  const asked = Array.from({ length: count }, (_, i) => ({
    prompt: `Line ${i * i}: ${"a".repeat(i % 23)}`,
    chat: i % 2 > 0
  }))
  const rows = asked.map(({ chat, prompt }) => (chat ? { messages: [{ role: "user", content: prompt }] } : { prompt }))
  const input = `${model}-prompts.jsonl`
  writeFileSync(input, rows.map((row) => JSON.stringify(row)).join("\n"))
  const limits = ["--max-new-tokens", String(maxNewTokens), "--samples", "2", "--seed", String(SEED)]
  const { code, stderr, stdout } = await plumbHere([
    "generate",
    "--model",
    model,
    "--input",
    input,
    "--json",
    ...limits,
    ...WASM
  ])
  if (code !== 0) throw new Error(stderr)
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line)
  // the rule of plumb generate: the seed of prompt i is draw i of the stream "prompts"
  const { uint32 } = philoxStream(SEED, "prompts")
  return asked.map((one, i) => {
    const said = lines.filter(({ index }) => index === i)
    return {
      ...one,
      seed: uint32(i),
      texts: said.map(({ text }) => text),
      ids: said.map(({ response_ids }) => response_ids),
      logProbs: said.map(({ logprobs }) => logprobs)
    }
  })
}
