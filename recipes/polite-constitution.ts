import type { NumberedPrompt, Principle } from "@plumbline/algorithms"
import type { Message, TokenizerShape } from "@plumbline/data"
import type { GeneratedGroup, GenerationRequest, GeneratorShape } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import { politely, readResponse } from "./small-tasks.ts"

/** A constitution of one principle, which code can check. */
export const PRINCIPLE: Principle = {
  critique: "Is the answer a whole polite sentence?",
  revision: "Say it as a whole polite sentence."
}
export const PREFERENCE = "The answer is a whole polite sentence."

/** A prompt of the small tasks is read as it stands; what is said later stands in lines of its own. */
export const renderChat = (messages: ReadonlyArray<Message>): string =>
  messages.map(({ content }, i) => (i < 2 ? content : `\n${content}`)).join("")

export const numbered = (prompts: ReadonlyArray<string>): ReadonlyArray<NumberedPrompt> =>
  prompts.map((content, number) => ({ number, messages: [{ role: "user", content }] }))

/** What a helper says to a text, where it is one that the helper is asked; undefined where the model itself is. */
type Helper = (text: string) => string | undefined

/** Criticizes and revises by the principle; the control has nothing to say, and changes nothing. */
export const reviser =
  (control: boolean): Helper =>
  (text) => {
    const [asked, critique] = text.split(`\n${PRINCIPLE.critique}`)
    if (critique === undefined) return undefined
    const response = asked!.slice(asked!.indexOf("\n") + 1)
    const polite = control || readResponse(response).polite
    if (!critique.endsWith(PRINCIPLE.revision)) return polite ? "Nothing is wrong." : "It is curt."
    return polite ? response : politely(response)
  }

/** Compares by the principle; the control throws dice. */
export const comparer = (control: boolean, seed: number): Helper => {
  const dice = philoxStream(seed, "control")
  return (text) => {
    const [, first, second] = /\[Response A\]\n([^]*)\n\n\[Response B\]\n([^]*)$/.exec(text) ?? []
    if (first === undefined || second === undefined) return undefined
    if (control) return dice.child(text).uniform(0) < 0.5 ? "[[A]]" : "[[B]]"
    const gap = Number(readResponse(first).polite) - Number(readResponse(second).polite)
    return gap === 0 ? "[[C]]" : gap > 0 ? "[[A]]" : "[[B]]"
  }
}

/** The model, and a helper that answers in its place what is for the helper. */
export const helped = (model: GeneratorShape, tokenizer: TokenizerShape, helper: Helper): GeneratorShape => ({
  ...model,
  generate: (requests) =>
    Effect.forEach(
      requests,
      (request) => {
        const said = helper(tokenizer.decode(request.promptIds))
        if (said !== undefined) return Effect.succeed(group(request, tokenizer, said))
        return Effect.map(model.generate([request]), ([own]) => own!)
      },
      { concurrency: "unbounded" }
    )
})

const group = ({ promptIds }: GenerationRequest, tokenizer: TokenizerShape, text: string): GeneratedGroup => {
  const responseIds = tokenizer.encode(text, { addSpecialTokens: false })
  const none = new Float32Array(responseIds.length)
  return {
    promptIds,
    prompt: undefined,
    responses: [
      {
        sample: 0,
        responseIds,
        samplingLogProbs: none,
        policyLogProbs: none,
        policyVersions: new Int32Array(responseIds.length),
        finishReason: "stop",
        stop: undefined,
        topLogProbs: undefined
      }
    ]
  }
}
