import { Effect } from "effect"
import { VocabularyMismatch } from "../errors.ts"
import type { TokenizerShape } from "./tokenizer.ts"

/** Fails where the tokenizer has ids that the model has no row for; a model with rows to spare is fine. */
export const checkVocabulary = (
  { name, vocabSize }: TokenizerShape,
  modelSize: number
): Effect.Effect<void, VocabularyMismatch> =>
  vocabSize <= modelSize
    ? Effect.void
    : Effect.fail(new VocabularyMismatch({ tokenizer: name, tokenizerSize: vocabSize, modelSize }))
