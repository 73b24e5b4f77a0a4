import { Effect, Stream } from "effect"
import { afterEach, describe, expect, it } from "vitest"
import type { GenerationError } from "../errors.ts"
import { samplingOptions } from "../sampling/options.ts"
import { choice, closeServers, generatorOf, MODELS, ok, one, ROW, serve } from "../testing/scripted-server.ts"

afterEach(closeServers)

describe("a remote generator over servers with ways of their own", () => {
  it("leaves out the token that vLLM draws where a prompt is only scored", async () => {
    const logprobs = { tokens: ["token_id:1", "token_id:2", "token_id:3"], token_logprobs: [null, -1, -2] }
    const scored = choice({ token_ids: [9], logprobs, finish_reason: "length" })
    const row = { promptLogProbs: true, sampling: samplingOptions({ maxNewTokens: 0 }) }
    const { group } = await one([ok(scored)], row)
    expect([...group!.responses[0]!.responseIds]).toEqual([])
    expect([...group!.prompt!.logProbs]).toEqual([NaN, -1, -2])
    const { baseUrl } = await serve([{ body: `data: ${JSON.stringify({ choices: [scored] })}\n\n` }])
    const events = await Effect.runPromise(
      Stream.runCollect((await generatorOf({ baseUrl })).stream({ ...ROW, ...row }))
    )
    expect(events.map(({ _tag }) => _tag)).toEqual(["Prompt", "Finished"])
  })

  it("never takes a response for one that its request does not allow, by servers that ignore what they do not know", async () => {
    const options = { unknownLogProbs: true }
    const wish = (wanted: object) => ({ sampling: samplingOptions({ maxNewTokens: 8, stopIds: [5], ...wanted }) })
    const strange = await one([ok(choice())], wish({ allowedTokens: [5, 6] }), options)
    expect(strange.error!.message).toMatch(/returned token id 7, which allowedTokens has not/)
    const short = await one([ok(choice())], wish({ minNewTokens: 3 }), options)
    expect(short.error!.message).toMatch(/stopped after 2 tokens where minNewTokens was 3/)
    const endless = await one([ok(choice())], wish({ stopIds: [] }))
    expect(endless.error!.message).toMatch(/stopped at token id 5, none of the stopIds/)
    const late = await one([ok(choice({ token_ids: [5, 5] }))], wish({}), options)
    expect(late.error!.message).toMatch(/went on after token id 5, one of the stopIds/)
    const fit = await one([ok(choice())], wish({ allowedTokens: [5, 7], minNewTokens: 2 }), options)
    expect(fit.group!.responses[0]!.responseIds).toEqual(Int32Array.of(7, 5))
  })

  it("never takes a response for stopped that ends without a stop token, by servers that end at their own EOS or keep it", async () => {
    const sampling = samplingOptions({ maxNewTokens: 8, stopIds: [6] })
    const own = await one([ok(choice())], { sampling })
    expect(own.error!.message).toMatch(/stopped at token id 5, none of the stopIds: its own end token/)
    // who says nothing of what stopped it, where a stop string may have
    const silent = await one([ok(choice())], { sampling: samplingOptions({ ...sampling, stopStrings: ["b"] }) })
    expect(silent.error!.message).toMatch(/stopped at token id 5, none of the stopIds/)
    const named = await one([ok(choice({ stop_reason: "b" }))], {
      sampling: samplingOptions({ ...sampling, stopStrings: ["b"] })
    })
    expect(named.group!.responses[0]!.stop).toEqual({ kind: "string", text: "b" })
  })

  it.each([["whole"], ["stream"]])("repeats the words of an error that comes as %s with success", async (way) => {
    const said = { object: "error", message: "the engine is dead", type: "InternalServerError", param: null, code: 500 }
    const { baseUrl } = await serve([{ body: way === "whole" ? said : `data: ${JSON.stringify(said)}\n\n` }])
    const generator = await generatorOf({ baseUrl })
    const work = way === "whole" ? generator.generate([ROW]) : Stream.runDrain(generator.stream(ROW))
    const error = await Effect.runPromise(Effect.flip(work as Effect.Effect<unknown, GenerationError>))
    expect(error.message).toMatch(/it broke off: the engine is dead/)
  })

  it("does not take the alternatives of what was drawn from for the policy's", async () => {
    const row = { topLogProbs: 1, sampling: samplingOptions({ temperature: 0.5, stopIds: [5], maxNewTokens: 8 }) }
    const top_logprobs = [{ "token_id:7": -0.5 }, { "token_id:5": -0.25 }]
    const answer = ok(choice({ logprobs: { token_logprobs: [-0.5, -0.25], top_logprobs } }))
    const sampling = { logProbs: "sampling", unknownLogProbs: true }
    const { group } = await one([answer], row, sampling)
    expect(group!.responses[0]!.topLogProbs).toEqual([[{ id: 7, logProb: NaN }], [{ id: 5, logProb: NaN }]])
    const policy = await one([answer], row, { unknownLogProbs: true })
    expect(policy.group!.responses[0]!.topLogProbs).toEqual([[{ id: 7, logProb: -0.5 }], [{ id: 5, logProb: -0.25 }]])
  })

  it("presumes of SGLang's log-probs only what holds however it was started", async () => {
    const { baseUrl } = await serve([ok(choice())], { data: [{ ...MODELS.data[0], owned_by: "sglang" }] })
    const read = async (wanted: object, options: object = {}) => {
      const sampling = samplingOptions({ maxNewTokens: 8, stopIds: [5], ...wanted })
      const generator = await generatorOf({ baseUrl, ...options })
      return Effect.runPromise(
        Effect.match(generator.generate([{ ...ROW, sampling }]), {
          onSuccess: ([group]) => group!.responses.flatMap((one) => [one.policyLogProbs[0], one.samplingLogProbs[0]]),
          onFailure: ({ message }) => message
        })
      )
    }
    expect(await read({})).toEqual([-0.5, -0.5])
    expect(await read({ temperature: 0 })).toEqual([-0.5, 0])
    expect(await read({ temperature: 0.5 })).toMatch(/not report policy_logprobs.+; .+say in logProbs what they are/)
    expect(await read({ temperature: 0, repetitionPenalty: 2 })).toMatch(/not report policy_logprobs/)
    const unknownLogProbs = true
    expect(await read({ temperature: 0.5 }, { unknownLogProbs })).toEqual([NaN, NaN])
    expect(await read({ temperature: 0.5 }, { unknownLogProbs, logProbs: "policy" })).toEqual([-0.5, NaN])
    expect(await read({ temperature: 0.5 }, { unknownLogProbs, logProbs: "sampling" })).toEqual([NaN, -0.5])
  })

  it("lets TensorRT-LLM have its own way to turn off top-k, and the request its own top-k", async () => {
    const tokenIdFields = { detokenize: false, logprobs: 1, top_k: 0 }
    const off = await one([ok(choice())], {}, { tokenIdFields })
    expect(off.asked[0]!.body).toMatchObject(tokenIdFields)
    const sampling = samplingOptions({ maxNewTokens: 8, stopIds: [5], topK: 3 })
    const on = await one([ok(choice())], { sampling }, { tokenIdFields, unknownLogProbs: true })
    expect(on.asked[0]!.body).toMatchObject({ ...tokenIdFields, top_k: 3 })
  })

  it("takes a response for stopped that ends with a stop token in its last place, which SGLang calls its length", async () => {
    const sampling = samplingOptions({ maxNewTokens: 2, stopIds: [5] })
    const answer = choice({ finish_reason: "length", stop_reason: undefined, matched_stop: null })
    const { group } = await one([ok(answer)], { sampling })
    expect(group!.responses[0]).toMatchObject({ finishReason: "stop", stop: { kind: "id", id: 5 } })
    const { group: cut } = await one([ok(choice({ ...answer, token_ids: [7, 8] }))], { sampling })
    expect(cut!.responses[0]).toMatchObject({ finishReason: "length", stop: undefined })
  })

  it("takes no version from what is none", async () => {
    for (const weight_version of ["", "default", "1e3", true, [4]]) {
      const answer = { body: { choices: [choice()], metadata: { weight_version } } }
      const { group } = await one([answer], {}, { expectedVersion: () => 2 })
      expect([...group!.responses[0]!.policyVersions]).toEqual([-1, -1])
    }
  })
})
