import { it } from "@effect/vitest"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Layer } from "effect"
import { expect } from "vitest"
import { firstStepSink } from "./first-step-sink.ts"
import { Progress } from "./progress.ts"

const expected = { loss: { value: Math.LN2, perNat: 0.1 } }

it.effect("notes a first step that begins elsewhere than it should, and no other", () =>
  Effect.gen(function* () {
    const notes: Array<string> = []
    const progress = yield* Progress
    const heard = Progress.of({ ...progress, note: (line) => Effect.sync(() => void notes.push(line)) })
    const { write } = yield* firstStepSink(expected).pipe(Effect.provideService(Progress, heard))
    yield* write(1, { loss: Math.LN2 + 5e-4, grad_norm: 1 })
    yield* write(2, { loss: 0.2 })
    yield* write(1, { reward: 1 })
    expect(notes).toEqual([])
    yield* write(1, { loss: 0.9 })
    expect(notes).toEqual([expect.stringMatching(/^first step: loss is 0.9 and not 0.693147: the policy as it begins/)])
  }).pipe(Effect.provide(Layer.merge(ModelRuntime.layerCpu, Progress.layerSilent)))
)
