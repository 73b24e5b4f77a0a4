import { ChatTemplateInvalid, type TokenizerShape, type TokenizerThread } from "@plumbline/data"
import { Effect } from "effect"
import type { GeneratedResponse } from "../request.ts"

/** How responses and what tools say become one text. */
export interface TurnFormat {
  /** Ids that end the policy's turn, give it the outputs and open its next turn. @param signal ends it early */
  readonly afterCalls: (
    response: GeneratedResponse,
    outputs: ReadonlyArray<string>,
    signal?: AbortSignal
  ) => Int32Array | Promise<Int32Array>
}

/** Stands for a response; a Unicode noncharacter, which no template contains. */
const RESPONSE = "\uFDD2"
const PROBE = "plumbline 0451"

/**
 * Turns by the tokenizer's chat template, outputs as messages of the role `tool`. Only what the template puts after a
 * response is tokenized. An end token that the policy sampled itself is not put in a second time. Special tokens that an
 * output names become those tokens, as everywhere in a rendered chat.
 *
 * @param thread tokenizes what is long; without one the event loop waits for it
 * @throws ChatTemplateInvalid where the template has no place for tool messages, or rewrites responses
 */
export const chatTurns = (tokenizer: TokenizerShape, thread?: TokenizerThread): TurnFormat => {
  const afterResponse = (outputs: ReadonlyArray<string>): string => {
    const messages = [
      { role: "user", content: "?" },
      { role: "assistant", content: RESPONSE },
      ...outputs.map((content) => ({ role: "tool", content }))
    ]
    return tokenizer.renderChat(messages, { addGenerationPrompt: true }).split(RESPONSE).slice(1).join(RESPONSE)
  }
  if (!afterResponse([PROBE]).includes(PROBE)) {
    throw new ChatTemplateInvalid({ tokenizer: tokenizer.name, reason: "it has no place for what a tool says" })
  }
  return {
    afterCalls: async ({ finishReason, responseIds }, outputs, signal) => {
      const text = afterResponse(outputs)
      const ids =
        thread === undefined
          ? tokenizer.encode(text, { addSpecialTokens: false })
          : await Effect.runPromise(thread.part(text), { signal })
      return finishReason === "stop" && responseIds.at(-1) === ids[0] ? ids.subarray(1) : ids
    }
  }
}
