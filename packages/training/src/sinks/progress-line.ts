import type { StepMetrics } from "./metric-sink.ts"
import { formatCount, formatDuration, formatMetric, progressBar, renderLine, type Segment } from "./progress-text.ts"

/** What a progress line shows. */
export interface Snapshot {
  readonly label: string
  /** Steps done, of `total`. */
  readonly step: number
  readonly total: number
  readonly elapsedSeconds: number
  readonly secondsLeft: number | undefined
  readonly metrics: StepMetrics
  /** Metrics to show beside loss, learning rate and speed, under their own names. */
  readonly highlights: ReadonlyArray<string>
}

const BAR_WIDEST = 30
const BAR_NARROWEST = 8

const percent = ({ step, total }: Snapshot) => `${Math.floor((100 * step) / Math.max(1, total))}%`

const named = (metrics: StepMetrics, name: string, format: (value: number) => string): ReadonlyArray<string> =>
  metrics[name] === undefined ? [] : [format(metrics[name])]

const measurements = ({ metrics, highlights }: Snapshot): ReadonlyArray<string> => [
  ...named(metrics, "loss", (loss) => `loss ${formatMetric(loss)}`),
  ...highlights.flatMap((name) => named(metrics, name, (value) => `${name} ${formatMetric(value)}`)),
  ...named(metrics, "learning_rate", (rate) => `lr ${formatMetric(rate)}`),
  ...named(metrics, "tokens_per_second", (speed) => `${formatCount(speed)} tok/s`)
]

const remaining = ({ secondsLeft }: Snapshot) =>
  secondsLeft === undefined ? [] : [`eta ${formatDuration(secondsLeft)}`]

/** For a log: `sft step 120/400 (30%)  loss 0.6931  lr 1.00e-4  48.0k tok/s  elapsed 32s  eta 1m05s` */
export const plainLine = (snapshot: Snapshot): string =>
  [
    `${snapshot.label} step ${snapshot.step}/${snapshot.total} (${percent(snapshot)})`,
    ...measurements(snapshot),
    `elapsed ${formatDuration(snapshot.elapsedSeconds)}`,
    ...remaining(snapshot)
  ].join("  ")

/** For a terminal, `width` columns at most: the same with a bar, which gives way first where there is little room. */
export const liveLine = (snapshot: Snapshot, width: number, colour: boolean): string => {
  const { label, step, total } = snapshot
  const after: ReadonlyArray<Segment> = [
    { text: `${step}/${total} ${percent(snapshot)}` },
    ...remaining(snapshot).map((text) => ({ text: `  ${text}`, style: "dim" as const })),
    ...measurements(snapshot).map((text) => ({ text: `  ${text}` }))
  ]
  const taken = after.reduce((sum, { text }) => sum + [...text].length, [...label].length + 1)
  const barWidth = Math.min(BAR_WIDEST, width - taken - "▕▏ ".length)
  const bar: ReadonlyArray<Segment> =
    barWidth < BAR_NARROWEST
      ? []
      : [{ text: "▕" }, { text: progressBar(step / Math.max(1, total), barWidth), style: "cyan" }, { text: "▏ " }]
  return renderLine([{ text: label, style: "bold" }, { text: " " }, ...bar, ...after], width, colour)
}
