import { shellWord, type TrainResult } from "@plumbline/training"
import { Effect } from "effect"
import type { Model } from "@plumbline/models"
import { print, textWidth } from "./terminal.ts"

/** Says how a run ended, where its model is and what to do with it. */
export const reportRun = Effect.fnUntraced(function* (
  output: string,
  { metrics, models, status, step }: TrainResult<unknown>
) {
  yield* print(`${status} at step ${step}`)
  for (const line of metricLines(metrics, textWidth())) yield* print(`  ${line}`)
  if (status === "stopped") {
    return yield* print(`go on:   plumb resume ${shellWord(output)}`)
  }
  const final = `${output}/final`
  const roles = Object.entries(models as Readonly<Record<string, object>>)
  for (const [role, model] of roles) {
    const folder = roles.length === 1 ? final : `${final}/${role}`
    yield* print(`model:   ${folder}`)
    yield* print(`try it:  ${trial(where(folder, model as Model), "head" in model)}`)
  }
  yield* print(`charts:  plumb show ${shellWord(output)}`)
})

/** The flags that name a trained model, or a trained adapter and the model it rides on. */
const where = (folder: string, { contents }: Model): string => {
  if (contents === undefined) return `--model ${shellWord(folder)}`
  const base = Object.values(contents.json)[0]?.["base_model_name_or_path"]
  return `--model ${shellWord(String(base ?? "DIR"))} --adapter ${shellWord(folder)}`
}

const trial = (flags: string, givesScores: boolean): string =>
  givesScores ? `plumb reward ${flags} --input FILE` : `plumb generate ${flags} --prompt "…"`

/** `name value` pairs, as many on a line as fit. */
export const metricLines = (metrics: Readonly<Record<string, number>>, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const [name, value] of Object.entries(metrics)) {
    if (name.startsWith("timers/")) continue
    const pair = `${name} ${Number(value.toPrecision(5))}`
    const last = lines.at(-1)
    if (last !== undefined && last.length + pair.length + 5 <= width) lines[lines.length - 1] = `${last}   ${pair}`
    else lines.push(pair)
  }
  return lines
}
