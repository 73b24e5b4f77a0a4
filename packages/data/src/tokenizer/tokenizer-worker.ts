import { Effect } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import { ChatTemplateInvalid } from "../errors.ts"
import { tokenizerOfFiles } from "./load-tokenizer.ts"
import { type ThreadAnswer, type ThreadFiles, type ThreadTask, tokensOf } from "./tokenizer-thread.ts"

const { files, stopIds } = workerData as ThreadFiles
const tokenizer = Effect.runSync(tokenizerOfFiles("", files, stopIds))

const answerTo = (task: ThreadTask): ThreadAnswer => {
  try {
    return { ids: tokensOf(tokenizer, task) }
  } catch (cause) {
    if (cause instanceof ChatTemplateInvalid) return { refused: cause.reason }
    throw cause
  }
}

parentPort!.on("message", (task: ThreadTask) => {
  const answer = answerTo(task)
  parentPort!.postMessage(answer, "ids" in answer ? [answer.ids.buffer as ArrayBuffer] : [])
})
