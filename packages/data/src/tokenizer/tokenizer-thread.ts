import { Effect, type Scope, Semaphore } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { attempt, ChatTemplateInvalid, type DataError } from "../errors.ts"
import type { Conversation, JudgedRecord } from "../records/records.ts"
import { tokenizeJudged, tokenizePrompt } from "../tokenise/completion.ts"
import type { TemplateVariables, TokenizerShape } from "./tokenizer.ts"

/** Tokenizes for a process that must not stand still meanwhile, however long a text is. */
export interface TokenizerThread {
  /** As `tokenizePrompt`. */
  readonly prompt: (prompt: Conversation, variables?: TemplateVariables) => Tokens
  /** As `tokenizeJudged`. */
  readonly judged: (record: JudgedRecord) => Tokens
  /** A part of a text: nothing is added to it. */
  readonly part: (text: string) => Tokens
}

/** [T] int32 */
type Tokens = Effect.Effect<Int32Array, DataError>

export interface ThreadFiles {
  readonly files: Readonly<Record<string, string>>
  readonly stopIds: ReadonlyArray<number>
}

export type ThreadTask =
  | {
      readonly kind: "prompt"
      readonly prompt: Conversation
      readonly variables: TemplateVariables | undefined
    }
  | { readonly kind: "judged"; readonly record: JudgedRecord }
  | { readonly kind: "part"; readonly text: string }

export type ThreadAnswer = { readonly ids: Int32Array } | { readonly refused: string }

/** UTF-16 units that are tokenized at once: in about 30 ms where it takes longest, a text of spaces alone. */
const AT_ONCE = 16 * 1024

/**
 * Tokenizes short texts where it is asked, each in a turn of its own of the event loop, and long ones, one after the other,
 * on a second thread. That begins with the first of them, reads the tokenizer's files again, and ends with the scope, or where
 * who asked has left.
 */
export const tokenizerThread = (tokenizer: TokenizerShape): Effect.Effect<TokenizerThread, never, Scope.Scope> =>
  Effect.map(workerOf(tokenizer), (onThread) => {
    const tokens = (task: ThreadTask): Tokens =>
      textLength(task) <= AT_ONCE
        ? Effect.andThen(
            Effect.yieldNow,
            attempt(() => tokensOf(tokenizer, task))
          )
        : onThread(task)
    return {
      prompt: (prompt, variables) => tokens({ kind: "prompt", prompt, variables }),
      judged: (record) => tokens({ kind: "judged", record }),
      part: (text) => tokens({ kind: "part", text })
    }
  })

/** @throws ChatTemplateInvalid */
export const tokensOf = (tokenizer: TokenizerShape, task: ThreadTask): Int32Array => {
  switch (task.kind) {
    case "prompt":
      return tokenizePrompt(tokenizer, task.prompt, task.variables)
    case "judged":
      return tokenizeJudged(tokenizer, task.record)
    case "part":
      return tokenizer.encode(task.text, { addSpecialTokens: false })
  }
}

/** Of all texts in a value. */
const textLength = (value: unknown): number => {
  if (typeof value === "string") return value.length
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return 0
  return Object.values(value).reduce<number>((sum, part) => sum + textLength(part), 0)
}

const workerOf = (tokenizer: TokenizerShape) => {
  let living: Worker | undefined
  const turn = Semaphore.makeUnsafe(1)
  const start = (): Worker => {
    const workerData: ThreadFiles = { files: tokenizer.files, stopIds: tokenizer.stopIds }
    const worker = new Worker(program(), { workerData })
    const gone = () => {
      if (living === worker) living = undefined
    }
    worker.once("error", gone).once("exit", gone)
    return (living = worker)
  }
  const ask = (task: ThreadTask) =>
    Effect.callback<ThreadAnswer>((resume) => {
      const worker = living ?? start()
      const leave = () => void worker.off("message", answered).off("error", failed).off("exit", ended).unref()
      const settle = (answer: Effect.Effect<ThreadAnswer>) => {
        leave()
        resume(answer)
      }
      const answered = (answer: ThreadAnswer) => settle(Effect.succeed(answer))
      const failed = (cause: unknown) => settle(Effect.die(cause))
      const ended = () => settle(Effect.die(new Error("the tokenizer's thread has ended")))
      worker.on("message", answered).on("error", failed).on("exit", ended).ref()
      worker.postMessage(task, [])
      // nothing else ends its work
      return Effect.promise(() => {
        leave()
        if (living === worker) living = undefined
        return worker.terminate()
      })
    })
  const onThread = (task: ThreadTask): Tokens =>
    Semaphore.withPermit(turn, ask(task)).pipe(
      Effect.flatMap((answer) =>
        "ids" in answer
          ? Effect.succeed(answer.ids)
          : Effect.fail(new ChatTemplateInvalid({ tokenizer: tokenizer.name, reason: answer.refused }))
      )
    )
  return Effect.acquireRelease(Effect.succeed(onThread), () => Effect.promise(async () => living?.terminate()))
}

/** In a packed command line the thread's program lies beside the main one. */
const program = (): string => {
  const source = join(import.meta.dirname, "tokenizer-worker.ts")
  return existsSync(source) ? source : join(import.meta.dirname, "../../../..", "tokenizer-worker.js")
}
