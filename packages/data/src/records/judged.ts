import { Effect, Schema } from "effect"
import { attempt } from "../errors.ts"
import { readRows } from "../files/read-rows.ts"
import { ConversationField, toConversation } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import { TokenId } from "./prompts.ts"
import type { JudgedRecord } from "./records.ts"
import { SUPERVISED_FORMS } from "./supervised.ts"

/**
 * Rows to be judged as a whole. Field names, the first that fit: input_ids · those of `loadSupervised` (messages, prompt +
 * completion, text, …) · prompt alone, which is taken for a text or a chat.
 */
export const loadJudged = Effect.fn("loadJudged")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(JUDGED_FORMS, row)))
})

/** Also read by the loader of graded rows. */
export const JUDGED_FORMS: ReadonlyArray<Form<JudgedRecord>> = [
  form({ input_ids: Schema.Array(TokenId) }, {}, ({ input_ids }, row) => ({
    kind: "ids" as const,
    ids: Int32Array.from(input_ids),
    origin: originOf(row)
  })),
  ...SUPERVISED_FORMS,
  form({ prompt: ConversationField }, {}, ({ prompt }, row) => {
    const whole = notEmpty(row, "prompt", toConversation(prompt))
    const origin = originOf(row)
    return typeof whole === "string"
      ? { kind: "text" as const, text: whole, origin }
      : { kind: "chat" as const, messages: whole, origin }
  })
]
