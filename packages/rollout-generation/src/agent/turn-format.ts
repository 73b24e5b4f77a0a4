import { ChatTemplateInvalid, type TokenizerShape } from "@plumbline/data"
import type { GeneratedResponse } from "../request.ts"

/** How responses and what tools say become one text. */
export interface TurnFormat {
  /** Ids that end the policy's turn, give it the outputs and open its next turn. */
  readonly afterCalls: (response: GeneratedResponse, outputs: ReadonlyArray<string>) => Int32Array
}

/** Stands for a response; a Unicode noncharacter, which no template contains. */
const RESPONSE = "\uFDD2"
const PROBE = "plumbline 0451"

/**
 * Turns by the tokenizer's chat template, outputs as messages of the role `tool`. Only what the template puts after a
 * response is tokenized. An end token that the policy sampled itself is not put in a second time. Special tokens that an
 * output names become those tokens, as everywhere in a rendered chat.
 *
 * @throws ChatTemplateInvalid where the template has no place for tool messages, or rewrites responses
 */
export const chatTurns = (tokenizer: TokenizerShape): TurnFormat => {
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
    afterCalls: ({ finishReason, responseIds }, outputs) => {
      const ids = tokenizer.encode(afterResponse(outputs), { addSpecialTokens: false })
      return finishReason === "stop" && responseIds.at(-1) === ids[0] ? ids.subarray(1) : ids
    }
  }
}
