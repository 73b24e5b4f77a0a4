import { Effect, type Scope } from "effect"
import type { MetricSinkShape } from "./metric-sink.ts"
import { Progress, type ProgressTaskOptions } from "./progress.ts"

/** Metrics as a progress line on the console; the line ends with the scope. */
export const consoleSink = (
  options: ProgressTaskOptions
): Effect.Effect<MetricSinkShape, never, Progress | Scope.Scope> =>
  Effect.gen(function* () {
    const progress = yield* Progress
    const task = yield* progress.begin(options)
    return { write: task.advance, truncate: task.restart }
  })
