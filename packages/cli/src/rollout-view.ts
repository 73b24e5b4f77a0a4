import type { TokenizerShape } from "@plumbline/data"
import type { RolloutRecord } from "@plumbline/store"
import { textTable } from "./table.ts"

export const SORTS = ["row", "reward", "advantage", "length"] as const
type Sort = (typeof SORTS)[number]

const keys: Readonly<Record<Sort, (record: RolloutRecord) => number>> = {
  row: ({ row }) => -row,
  reward: ({ reward }) => reward ?? -Infinity,
  advantage: ({ advantage }) => advantage ?? -Infinity,
  length: ({ responseIds }) => responseIds?.length ?? 0
}

/** The highest first; by row the first one. Equal ones keep their order. */
export const sorted = (records: ReadonlyArray<RolloutRecord>, by: Sort): ReadonlyArray<RolloutRecord> =>
  records.toSorted((a, b) => keys[by](b) - keys[by](a) || a.row - b.row)

/** A line a response. */
export const rolloutsText = (records: ReadonlyArray<RolloutRecord>, width: number): string => {
  const first = records[0]!
  const parts = first.rewardParts?.map(({ name }) => name) ?? []
  const columns = [
    ...["row", "step", "reward", ...(parts.length > 1 ? parts : []), "advantage", "tokens", "gap"].map((title) => ({
      title,
      align: "right" as const
    })),
    { title: "end" },
    { title: "prompt" },
    { title: "response" }
  ]
  const lines = records.map((record) => [
    String(record.row),
    record.step === undefined ? "–" : String(record.step),
    number(record.reward),
    ...(parts.length > 1
      ? parts.map((name) => number(record.rewardParts?.find((part) => part.name === name)?.value))
      : []),
    number(record.advantage),
    String(record.responseIds?.length ?? 0),
    number(meanGap(record)),
    record.masked ?? (record.ended === true ? "stop" : "length"),
    record.prompt ?? "",
    record.response ?? ""
  ])
  const head = `rollout ${first.rollout}: ${records.length} responses; gap is the mean |log-prob| between sampler and trainer, nats`
  return `${head}\n${textTable(columns, lines, width)}`
}

const number = (value: number | undefined): string => (value === undefined ? "–" : String(Number(value.toPrecision(4))))

const meanGap = ({ oldLogProbs, samplingLogProbs }: RolloutRecord): number | undefined => {
  if (oldLogProbs === undefined || samplingLogProbs === undefined || oldLogProbs.length === 0) return undefined
  const sum = oldLogProbs.reduce((total, value, t) => total + Math.abs(value - samplingLogProbs[t]!), 0)
  return sum / oldLogProbs.length
}

export const SHADES = ["advantage", "sampler", "old", "reference"] as const
type Shade = (typeof SHADES)[number]

const shades: Readonly<Record<Shade, (record: RolloutRecord, t: number) => number | undefined>> = {
  advantage: ({ advantages }, t) => advantages?.[t],
  sampler: ({ oldLogProbs, samplingLogProbs }, t) => gap(oldLogProbs?.[t], samplingLogProbs?.[t]),
  old: ({ currentLogProbs, oldLogProbs }, t) => gap(currentLogProbs?.[t], oldLogProbs?.[t]),
  reference: ({ oldLogProbs, referenceLogProbs }, t) => gap(oldLogProbs?.[t], referenceLogProbs?.[t])
}

const gap = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined ? undefined : a - b)

export interface RowView {
  readonly tokenizer: TokenizerShape | undefined
  readonly shade: Shade
  readonly colours: boolean
}

/** A response token by token: text and specials as they are, and every number there is of it. */
export const rowText = (record: RolloutRecord, { colours, shade, tokenizer }: RowView): string => {
  const ids = record.responseIds ?? new Int32Array(0)
  const text = (id: number) =>
    tokenizer === undefined ? `#${id}` : shown(tokenizer.decode(Int32Array.of(id), { skipSpecialTokens: false }))
  const values = Array.from(ids, (_, t) => shades[shade](record, t))
  const most = values.reduce<number>((largest, value) => Math.max(largest, Math.abs(value ?? 0)), 0)
  const painted = Array.from(ids, (id, t) => (colours ? paint(text(id), values[t], most) : text(id))).join("")
  const parts = (record.rewardParts ?? []).map(
    ({ name, value, weight }) => `${name} ${number(value)} × ${number(weight)}`
  )
  const facts = [
    `rollout ${record.rollout}, row ${record.row}: ${record.origin ?? "?"}, sample ${record.sample}, seed ${record.seed}`,
    `prompt   ${shown(record.prompt ?? "")}`,
    `reward   ${number(record.reward)} (${parts.join(", ")})`,
    `learnt   ${record.masked === undefined ? `at step ${record.step ?? "– (not yet)"}` : `nothing: ${record.masked}`}`,
    `response ${painted}`
  ]
  return `${facts.join("\n")}\n\n${tokenTable(record, ids, text)}`
}

const tokenTable = (record: RolloutRecord, ids: Int32Array, text: (id: number) => string): string => {
  const all: ReadonlyArray<readonly [string, ArrayLike<number> | undefined]> = [
    ["version", record.policyVersions],
    ["counted", record.counted],
    ["sampler", record.samplingLogProbs],
    ["old", record.oldLogProbs],
    ["reference", record.referenceLogProbs],
    ["current", record.currentLogProbs],
    ["ratio", record.ratios],
    ["clipped", record.clipped],
    ["advantage", record.advantages],
    ["value", record.criticValues],
    ["return", record.criticReturns]
  ]
  const known = all.flatMap(([title, values]) => (values === undefined ? [] : [{ title, values }]))
  const columns = ["", "id", ...known.map(({ title }) => title)].map((title) => ({ title, align: "right" as const }))
  const lines = Array.from(ids, (id, t) => [
    String(t),
    String(id),
    ...known.map(({ values }) => number(values[t])),
    text(id)
  ])
  return textTable([...columns, { title: "token" }], lines, 400)
}

/** Line ends and other control characters as symbols. */
const shown = (text: string): string => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥")

/** Green above 0, red below, as strong as the value is large. */
const paint = (text: string, value: number | undefined, most: number): string => {
  if (value === undefined || most === 0) return text
  const strength = Math.round((Math.abs(value) / most) * 5)
  // a 6×6×6 cube of colours from 16 on: red steps by 36, green by 6
  const background = 16 + strength * (value > 0 ? 6 : 36)
  return strength === 0 ? text : `\u001B[48;5;${background}m${text}\u001B[0m`
}

/** Everything there is, typed arrays as lists. */
export const recordJson = (record: RolloutRecord): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(record).map(([key, value]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value
    ])
  )
