import { Clock, Context, Effect, Layer, type Scope } from "effect"
import { type Display, liveDisplay, plainDisplay, type PlainPacing, type ProgressOutput } from "./display.ts"
import type { StepMetrics } from "./metric-sink.ts"
import { observeStep, secondsLeft, startPace } from "./pace.ts"

/** A long piece of work whose steps are counted. */
export interface ProgressTaskOptions {
  readonly label: string
  /** Steps when all is done. */
  readonly total: number
  /** Metrics to show beside loss, learning rate and speed. */
  readonly highlights?: ReadonlyArray<string>
}

export interface ProgressTask {
  /** `step` steps are done, the last of them with these metrics. */
  readonly advance: (step: number, metrics: StepMetrics) => Effect.Effect<void>
  /** Counts time from here on, with `step` steps done before: a resumed run. */
  readonly restart: (step: number) => Effect.Effect<void>
}

export interface ProgressShape {
  /** The task ends with the scope and leaves its last line. */
  readonly begin: (options: ProgressTaskOptions) => Effect.Effect<ProgressTask, never, Scope.Scope>
  /** A line that stays, above the live one. */
  readonly note: (line: string) => Effect.Effect<void>
}

const milliseconds = Effect.map(Clock.monotonicTimeNanos, (nanoseconds) => Number(nanoseconds) / 1e6)

const make = (display: Display): ProgressShape => ({
  note: (line) => Effect.sync(() => display.note(line)),
  begin: Effect.fn("Progress.begin")(function* ({ label, total, highlights = [] }) {
    let started = yield* milliseconds
    let pace = startPace(0, started)
    const task = yield* Effect.acquireRelease(Effect.sync(display.begin), (shown) => Effect.sync(shown.end))
    return {
      advance: (step, metrics) =>
        Effect.map(milliseconds, (now) => {
          pace = observeStep(pace, step, now)
          const elapsedSeconds = (now - started) / 1000
          task.show(
            { label, step, total, elapsedSeconds, secondsLeft: secondsLeft(pace, total), metrics, highlights },
            now
          )
        }),
      restart: (step) =>
        Effect.map(milliseconds, (now) => {
          started = now
          pace = startPace(step, now)
        })
    }
  })
})

/** What `progressOutput` asks of a stream: `process.stderr` has it. */
export interface TextStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => unknown
}

/** Live on a terminal that can move its cursor; coloured there unless NO_COLOR is set (https://no-color.org). */
export const progressOutput = (
  stream: TextStream,
  environment: Readonly<Record<string, string | undefined>>
): ProgressOutput => {
  const live = stream.isTTY === true && environment["TERM"] !== "dumb"
  return {
    write: (text) => void stream.write(text),
    live,
    colour: live && (environment["NO_COLOR"] ?? "") === "",
    // Some pseudo-terminals say 0.
    columns: () => stream.columns || 80
  }
}

/** Shows how far long work has come, on standard error. */
export class Progress extends Context.Service<Progress, ProgressShape>()("@plumbline/training/Progress") {
  /** One live line on a terminal, elsewhere a plain line every ten seconds unless `pacing` says otherwise. */
  static readonly layerTo = (
    output: ProgressOutput,
    pacing: PlainPacing = { everySeconds: 10 }
  ): Layer.Layer<Progress> =>
    Layer.sync(Progress, () => make(output.live ? liveDisplay(output) : plainDisplay(output, pacing)))

  static readonly layer: Layer.Layer<Progress> = Layer.suspend(() =>
    Progress.layerTo(progressOutput(process.stderr, process.env))
  )

  /** Shows nothing. */
  static readonly layerSilent: Layer.Layer<Progress> = Layer.succeed(
    Progress,
    make({ begin: () => ({ show: () => {}, end: () => {} }), note: () => {} })
  )
}
