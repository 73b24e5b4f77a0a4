import type { CheckpointRecord, MetricRow, RunRecord, SampleRow } from "@plumbline/store"
import { lineChart } from "./chart.ts"
import { metricLines } from "./report-run.ts"
import { type ShownStatus, statusOf } from "./run-status.ts"
import { configDigest, duration, moment, shownPath } from "./run-text.ts"
import { textTable } from "./table.ts"

const CHART_ROWS = 8

/** Metrics with a chart of their own unless --metric names others; those that end in / stand for all below them. */
const CHARTED = ["loss", "eval_loss", "learning_rate", "rewards/"]

/** Names of the metrics that a run measured, in the order they came up. */
export const metricNames = (rows: ReadonlyArray<MetricRow>): ReadonlyArray<string> => [
  ...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics)))
]

export const chartedByDefault = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  CHARTED.flatMap((wanted) =>
    names.filter((name) => name === wanted || (wanted.endsWith("/") && name.startsWith(wanted)))
  )

const GO_ON: Readonly<Partial<Record<ShownStatus, string>>> = {
  failed: "go on, once the cause is gone",
  interrupted: "go on",
  stopped: "go on"
}

/** What a run is and how far it came. */
export const summaryText = (
  run: RunRecord,
  rows: ReadonlyArray<MetricRow>,
  checkpoints: ReadonlyArray<CheckpointRecord>,
  width: number
): string => {
  const status = statusOf(run)
  const at = run.lastStep === null ? "" : ` at step ${run.lastStep}`
  const until =
    run.endedAt === null ? "" : `, took ${duration((Date.parse(run.endedAt) - Date.parse(run.startedAt)) / 1000)}`
  const facts = [
    ["run", `${run.name} (${run.algorithm})`],
    ["status", `${status}${at}`],
    ...(run.error === null ? [] : [["error", run.error.message] as const]),
    ["started", `${moment(run.startedAt)}${until}`],
    ["folder", shownPath(run.folder)],
    ["configuration", configDigest(run.config)],
    ["checkpoints", checkpoints.length === 0 ? "none" : checkpoints.map(({ step }) => `step ${step}`).join(", ")]
  ] as const
  const last = rows.at(-1)
  const lastMetrics = last === undefined ? [] : ["", `metrics of step ${last.step}`, ...indented(last, width)]
  const next = GO_ON[status] === undefined ? [] : ["", `${GO_ON[status]}: plumb resume ${shownPath(run.folder)}`]
  return [...facts.map(([name, value]) => `${name.padEnd(15)}${value}`), ...lastMetrics, ...next].join("\n")
}

const indented = ({ metrics }: MetricRow, width: number) => metricLines(metrics, width - 2).map((text) => `  ${text}`)

/** One chart a metric. */
export const chartsText = (rows: ReadonlyArray<MetricRow>, names: ReadonlyArray<string>, width: number): string =>
  names
    .map((name) => {
      const points = rows.flatMap(({ metrics, step }) =>
        metrics[name] === undefined ? [] : [{ step, value: metrics[name] }]
      )
      return lineChart(points, { title: name, width, height: CHART_ROWS })
    })
    .join("\n\n")

export const samplesText = (samples: ReadonlyArray<SampleRow>, width: number): string =>
  samples.length === 0
    ? "no samples"
    : textTable(
        [{ title: "step", align: "right" }, { title: "label" }, { title: "prompt" }, { title: "response" }],
        samples.map(({ label, prompt, response, step }) => [String(step), label, prompt, response]),
        width
      )
