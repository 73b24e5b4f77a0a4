import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import type { Expected } from "../algorithm.ts"
import { atFirst, offText } from "../at-first.ts"
import type { MetricSinkShape } from "./metric-sink.ts"
import { Progress } from "./progress.ts"

/** Notes a first step whose metrics are not what they must be before anything is learnt. */
export const firstStepSink = (
  expected: Readonly<Record<string, Expected>>
): Effect.Effect<MetricSinkShape, never, Progress | ModelRuntime> =>
  Effect.gen(function* () {
    const { note } = yield* Progress
    const { precision } = yield* ModelRuntime
    return {
      write: (step, metrics) => {
        const { off } = step === 1 ? atFirst(expected, metrics, precision) : { off: [] }
        return off.length === 0 ? Effect.void : note(`first step: ${offText(expected, metrics, off)}`)
      },
      truncate: () => Effect.void
    }
  })
