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

/** The bar takes this share of the terminal, so that it stays in place while the text beside it changes length. */
const BAR_SHARE = 1 / 8
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

const barSegments = (fraction: number, width: number): ReadonlyArray<Segment> => {
  const columns = Math.min(BAR_WIDEST, Math.floor(width * BAR_SHARE))
  if (columns < BAR_NARROWEST) return []
  return [{ text: "▕" }, { text: progressBar(fraction, columns), style: "cyan" }, { text: "▏ " }]
}

/** For a terminal, cut to `width` columns: the same with a bar where there is room for one. */
export const liveLine = (snapshot: Snapshot, width: number, colour: boolean): string => {
  const { label, step, total } = snapshot
  const done = `${String(step).padStart(String(total).length)}/${total} ${percent(snapshot).padStart(4)}`
  const segments: ReadonlyArray<Segment> = [
    { text: label, style: "bold" },
    { text: " " },
    ...barSegments(step / Math.max(1, total), width),
    { text: done },
    ...remaining(snapshot).map((text) => ({ text: `  ${text}`, style: "dim" as const })),
    ...measurements(snapshot).map((text) => ({ text: `  ${text}` }))
  ]
  return renderLine(segments, width, colour)
}
