import { describe, expect, it } from "@effect/vitest"
import { samplingOptions } from "../sampling/options.ts"
import { type Script, scriptedGenerator } from "../testing/scripted-generator.ts"
import { type EpisodeOptions, openEpisode } from "./episode.ts"

const newEpisode = (options: Partial<EpisodeOptions> = {}, script: Partial<Script> = {}) =>
  openEpisode(scriptedGenerator({ says: () => [7, 8], vocabulary: 100, contextTokens: 100, ...script }), {
    promptIds: Int32Array.of(1, 2),
    seed: 1,
    sampling: samplingOptions(),
    ...options
  })

describe("an episode", () => {
  it("keeps what was put in, whatever becomes of the arrays", async () => {
    const [promptIds, observed] = [Int32Array.of(1, 2), Int32Array.of(3)]
    const episode = newEpisode({ promptIds })
    episode.insert(observed)
    promptIds.fill(9)
    observed.fill(9)
    await episode.respond()
    expect([...episode.transcript().ids]).toEqual([1, 2, 3, 7, 8])
  })

  it("lets nothing come between a response and what it is a response to", async () => {
    const episode = newEpisode({}, { pause: 1 })
    const responding = episode.respond()
    await expect(episode.respond()).rejects.toThrow(TypeError)
    expect(() => episode.insert(Int32Array.of(3))).toThrow("is being written")
    await responding
    episode.insert(Int32Array.of(4))
    await episode.respond()
    expect([...episode.transcript().ids]).toEqual([1, 2, 7, 8, 4, 7, 8])
    expect([...episode.transcript().lossMask]).toEqual([0, 0, 1, 1, 0, 1, 1])
  })

  it("goes on after a response that failed, with the stream that it had", async () => {
    const generator = scriptedGenerator({ says: () => [7, 8], failsAt: 1, vocabulary: 100, contextTokens: 100 })
    const episode = openEpisode(generator, { promptIds: Int32Array.of(1, 2), seed: 1, sampling: samplingOptions() })
    await expect(episode.respond()).rejects.toMatchObject({ _tag: "GeneratorFailed" })
    episode.insert(Int32Array.of(4))
    await episode.respond(samplingOptions({ maxNewTokens: 1 }))
    expect([...episode.transcript().ids]).toEqual([1, 2, 4, 7])
    await episode.respond(samplingOptions({ maxNewTokens: 1 }))
    const [failed, first, second] = generator.requests.map(({ seed }) => seed)
    expect(first).toBe(failed)
    expect(second).not.toBe(first)
  })

  it.each(["before", "while"])("rejects with the reason of its signal: aborted %s it responds", async (when) => {
    const left = new AbortController()
    const enough = new Error("enough")
    const episode = newEpisode({ signal: left.signal }, { pause: 50 })
    if (when === "before") left.abort(enough)
    else setTimeout(() => left.abort(enough), 5)
    await expect(episode.respond()).rejects.toBe(enough)
    expect([...episode.transcript().ids]).toEqual([1, 2])
  })

  it("takes token ids alone", () => {
    const numbers = [1, 2.5] as unknown as Int32Array
    expect(() => newEpisode({ promptIds: numbers })).toThrow(TypeError)
    expect(() => newEpisode().insert(numbers)).toThrow(TypeError)
  })
})
