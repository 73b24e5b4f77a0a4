import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "@plumbline/data"
import { createModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import OpenAI from "openai"
import { startPlumb, WASM } from "../plumb.ts"

export interface ModelFolder {
  readonly path: string
  readonly remove: () => void
}

/** A folder with an untrained model of bytes, which says anything: seeds that differ give texts that differ. */
export const untrainedModel = async (): Promise<ModelFolder> => {
  const parent = mkdtempSync(join(tmpdir(), "plumbline-serve-"))
  const path = join(parent, "tiny")
  const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
  const shape = { width: 16, layers: 2, heads: 2, mlpWidth: 32, maxPositions: 1024 }
  const saved = Effect.suspend(() =>
    saveModel(createModel({ family: llama, vocabulary: tokenizer.vocabSize, ...shape }, 1), path, {
      extraFiles: tokenizer.files
    })
  )
  await Effect.runPromise(Effect.provide(saved, ModelRuntime.layerWasm))
  return { path, remove: () => rmSync(parent, { recursive: true, force: true }) }
}

type Environment = Readonly<Record<string, string>>

/** A `plumb serve` of its own process, and OpenAI's client of it. */
export const startServer = async (model: string, flags: ReadonlyArray<string> = [], environment: Environment = {}) => {
  const child = startPlumb(["serve", "--model", model, "--port", "0", ...WASM, ...flags], undefined, environment)
  let log = ""
  const url = await new Promise<string>((resolve, reject) => {
    child.on("close", () => reject(new Error(`plumb serve ended: ${log}`)))
    child.stderr!.on("data", (chunk) => {
      log += String(chunk)
      const said = /on (http:\S+)\/v1/.exec(log)?.[1]
      if (said !== undefined) resolve(said)
    })
  })
  const client = (apiKey = "none") => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
  const ended = once(child, "close").then(([code]) => code as number | null)
  const signal = (name: NodeJS.Signals) => void child.kill(name)
  return {
    url,
    client,
    log: () => log,
    signal,
    ended,
    metrics: async () => (await fetch(`${url}/metrics`)).text(),
    close: async () => {
      child.kill("SIGKILL")
      await ended
    }
  }
}

export type Server = Awaited<ReturnType<typeof startServer>>
