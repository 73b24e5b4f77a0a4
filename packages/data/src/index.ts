export * from "./errors.ts"
export {
  collate,
  type CollateOptions,
  type RowLayout,
  rowTokens,
  scoredCount,
  type ScoredRows,
  type TokenizedRow,
  type TokenRows
} from "./rows.ts"
export { issueText } from "./issue-text.ts"
export { splitByCount, splitByTokens, type TokenBudget } from "./packing.ts"
export { batchSampler, type BatchSampler, epochOrder, type SamplerOptions } from "./sampler.ts"
export type {
  Conversation,
  GradedRecord,
  JudgedRecord,
  Message,
  Origin,
  PreferenceRecord,
  PromptRecord,
  StepwiseRecord,
  SupervisedRecord,
  TripleRecord,
  UnpairedRecord
} from "./records/records.ts"
export { asMessages } from "./records/fields.ts"
export { loadGraded } from "./records/graded.ts"
export { loadJudged } from "./records/judged.ts"
export { loadPreferences } from "./records/preferences.ts"
export { loadPrompts } from "./records/prompts.ts"
export { loadStepwise } from "./records/stepwise.ts"
export { loadSupervised } from "./records/supervised.ts"
export { loadTriples } from "./records/triples.ts"
export { loadUnpaired } from "./records/unpaired.ts"
export {
  byteTokenizer,
  CHATML_SPECIALS,
  CHATML_TEMPLATE,
  type SpecialTokenOptions
} from "./tokenizer/byte-tokenizer.ts"
export { loadTokenizer } from "./tokenizer/load-tokenizer.ts"
export { TOKEN_IDS, tokenIdsOf } from "./tokenizer/token-ids.ts"
export {
  type ChatOptions,
  type DecodeOptions,
  type EncodedChat,
  type EncodeOptions,
  Tokenizer,
  tokenizerFiles,
  type TemplateVariables,
  type TokenizerShape
} from "./tokenizer/tokenizer.ts"
export { type TokenizerThread, tokenizerThread } from "./tokenizer/tokenizer-thread.ts"
export { TIKTOKEN_ENCODINGS, type TiktokenEncoding, tiktokenTokenizer } from "./tokenizer/tiktoken-encodings.ts"
export { trainByteLevelBpe, type TrainBpeOptions } from "./tokenizer/train-bpe.ts"
export {
  type TokenizedPreference,
  type TokenizedTriple,
  tokenizeChat,
  tokenizeCompletion,
  tokenizeJudged,
  tokenizePreference,
  tokenizePrompt,
  tokenizeSteps,
  tokenizeSupervised,
  tokenizeText,
  tokenizeTriple,
  tokenizeUnpaired
} from "./tokenise/completion.ts"
export {
  gradedDataset,
  type LengthLimit,
  openedPreferenceDataset,
  openedUnpairedDataset,
  preferenceDataset,
  stepwiseDataset,
  supervisedDataset,
  type TokenizedDataset,
  tripleDataset,
  unpairedDataset
} from "./tokenise/dataset.ts"
export type { GradedRow, StepwiseRow, UnpairedRow } from "./tokenise/row-units.ts"
export { hasDoubledBos } from "./tokenise/doubled-bos.ts"
export { type Fitted, fitToLength, type LengthPolicy } from "./tokenise/fit-to-length.ts"
export { checkVocabulary } from "./tokenizer/check-vocabulary.ts"
export {
  flagName,
  kebabCase,
  needed,
  NonNegative,
  NonNegativeInt,
  option,
  optional,
  Positive,
  PositiveInt,
  Share
} from "./option.ts"
export { type IncrementalOptions, type IncrementalText, incrementalText } from "./tokenizer/incremental-text.ts"
export type { Conversion, ConversionTarget, Converted, ConvertedRow, Converter, LeftOut } from "./convert/converter.ts"
export { converters } from "./convert/converters.ts"
export { isLfsPointer, LFS_POINTER } from "./files/not-json.ts"
export { type RawRow, readRows } from "./files/read-rows.ts"
export { MessagesField, toMessages } from "./records/fields.ts"
export { decodeRow, type Form, form, originOf } from "./records/forms.ts"
