import type { TokenizerShape } from "@plumbline/data"
import { loadCausalLM } from "@plumbline/models"
import { RunStore } from "@plumbline/store"
import { Console, Effect } from "effect"
import { join, resolve } from "node:path"
import { type Answered, answerTasks, preferenceRate, share } from "./held-out.ts"
import type { SmallTasks } from "./small-tasks.ts"

export interface QuickstartResult {
  /** What the second stage is called. */
  readonly method: string
  /** Folder of its run, whose final model is compared with the SFT model. */
  readonly run: string
  readonly sftModel: string
  readonly tokenizer: TokenizerShape
  readonly tasks: SmallTasks
  /** Optimizer steps of that run. */
  readonly step: number
  readonly seed: number
}

export interface HeldOutResult {
  readonly answers: ReadonlyArray<Answered>
  readonly preferenceRate: number
}

/** Lets both models answer the held-out prompts, prints what changed and keeps the answers as samples of the run. */
export const reportQuickstart = Effect.fn("reportQuickstart")(function* (result: QuickstartResult) {
  const before = yield* measure(result, result.sftModel)
  const after = yield* measure(result, join(result.run, "final"))
  yield* keepSamples(result, { before, after })
  yield* Console.log(`\n${comparison(before, after, result.method)}\n\n${sampleAnswers(before, after)}\n`)
})

const measure = Effect.fnUntraced(function* ({ seed, tasks, tokenizer }: QuickstartResult, folder: string) {
  const model = yield* Effect.acquireRelease(loadCausalLM(folder, { name: folder, trainable: false }), ({ dispose }) =>
    Effect.sync(dispose)
  )
  const result: HeldOutResult = {
    answers: yield* answerTasks(model, tokenizer, tasks.heldOutTasks, seed),
    preferenceRate: preferenceRate(model, tokenizer, tasks.heldOutPairs)
  }
  return result
}, Effect.scoped)

/** Once: a finished run that is resumed keeps the samples it has. */
const keepSamples = Effect.fnUntraced(function* (
  { run, step }: QuickstartResult,
  results: Readonly<Record<"before" | "after", HeldOutResult>>
) {
  const store = yield* RunStore
  const id = resolve(run)
  if ((yield* store.samples(id, step)).length > 0) return
  const samples = Object.entries(results).flatMap(([label, { answers }]) =>
    answers.map(({ answer, correct, kind, polite, prompt, response }) => ({
      label,
      prompt,
      response,
      extra: { kind, answer, correct: Number(correct), polite: Number(polite) }
    }))
  )
  yield* store.appendSamples(id, step, samples)
})

/** The table of what the second stage changed, in percent of the held-out prompts or pairs. */
export const comparison = (before: HeldOutResult, after: HeldOutResult, method: string): string => {
  const right = ({ answers }: HeldOutResult) => share(answers.map(({ correct }) => correct))
  const polite = ({ answers }: HeldOutResult) => share(answers.map((answer) => answer.polite))
  const ofKind = (name: string) => (result: HeldOutResult) =>
    right({ ...result, answers: result.answers.filter(({ kind }) => kind === name) })
  const kinds = [...new Set(before.answers.map(({ kind }) => kind))]
  const rows: ReadonlyArray<readonly [string, (result: HeldOutResult) => number]> = [
    ["answers that are right", right],
    ...kinds.map((kind) => [`  ${kind}`, ofKind(kind)] as const),
    ["answers in the polite style", polite],
    ["pairs whose chosen side is likelier", (result) => result.preferenceRate]
  ]
  const second = `SFT + ${method}`
  const line = (title: string, sft: string, aligned: string) =>
    `${title.padEnd(36)}${sft.padStart(10)}${aligned.padStart(Math.max(12, second.length + 2))}`
  return [
    line(`${before.answers.length} held-out prompts and pairs`, "SFT", second),
    ...rows.map(([title, of]) => line(title, percent(of(before)), percent(of(after))))
  ].join("\n")
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`

/** One prompt of every kind with both answers. */
const sampleAnswers = (before: HeldOutResult, after: HeldOutResult): string => {
  const shown = (text: string, width: number) => JSON.stringify(text.trimEnd()).padEnd(width)
  return before.answers
    .flatMap(({ kind, prompt, response }, i) =>
      before.answers.findIndex((answer) => answer.kind === kind) === i
        ? [`${shown(prompt, 24)} ${shown(response, 40)} →  ${shown(after.answers[i]!.response, 0)}`]
        : []
    )
    .join("\n")
}
