import { describe, expect, it } from "vitest"
import { samplingOptions } from "../sampling/options.ts"
import { ROW } from "../testing/scripted-server.ts"
import { decodeCompletion, streamReader } from "./read-answer.ts"

describe("streamReader", () => {
  it("reads a part of a long response as fast as of a short one", () => {
    const tokens = 2 ** 15
    const sampling = samplingOptions({ maxNewTokens: tokens, stopIds: [5] })
    const known = { baseUrl: "", contextTokens: 2 * tokens, vocabulary: 10, logProbs: "policy" } as const
    const reader = streamReader({ ...ROW, sampling }, known)
    const part = { index: 0, token_ids: [7], logprobs: { token_logprobs: [-1] } }
    const last = { ...part, token_ids: [5], finish_reason: "stop" }
    const begun = process.cpuUsage()
    const events = Array.from({ length: tokens }, (_, t) =>
      reader.read(decodeCompletion({ choices: [t === tokens - 1 ? last : part] }))
    ).flat()
    const { system, user } = process.cpuUsage(begun)
    expect(events.at(-1)).toMatchObject({ _tag: "Finished", response: { finishReason: "stop" } })
    expect(events).toHaveLength(tokens + 1)
    // 0.3 s, and 16 s where each part looks at all before it
    expect((system + user) / 1e6).toBeLessThan(4)
  })
})
