import { Effect, Schema } from "effect"

export class FileMissing extends Schema.TaggedError<FileMissing>()("FileMissing", { file: Schema.String }) {
  override get message(): string {
    return `${this.file}: no such file`
  }
}

/** The file exists, but its kind, compression or encoding is not one that is read. */
export class UnsupportedFile extends Schema.TaggedError<UnsupportedFile>()("UnsupportedFile", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** A row is not JSON, lacks a field or has one of the wrong type. `line` counts from 1; in Parquet files it is the row. */
export class MalformedRecord extends Schema.TaggedError<MalformedRecord>()("MalformedRecord", {
  file: Schema.String,
  line: Schema.Int,
  /** Dotted path, empty where the whole row is at fault. */
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    const field = this.field === "" ? "" : ` field "${this.field}":`
    return `${this.file}, line ${this.line}:${field} ${this.reason}`
  }
}

export class EmptyDataset extends Schema.TaggedError<EmptyDataset>()("EmptyDataset", { file: Schema.String }) {
  override get message(): string {
    return `${this.file}: holds no rows`
  }
}

/** The text to learn from is empty, so no token of the row could be scored. */
export class EmptyCompletion extends Schema.TaggedError<EmptyCompletion>()("EmptyCompletion", {
  file: Schema.String,
  line: Schema.Int,
  field: Schema.String
}) {
  override get message(): string {
    return `${this.file}, line ${this.line}: field "${this.field}" is empty, so there is nothing to learn from`
  }
}

export class TokenizerInvalid extends Schema.TaggedError<TokenizerInvalid>()("TokenizerInvalid", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** The chat template is absent, does not parse, refuses these messages or cannot tell where assistant turns begin. */
export class ChatTemplateInvalid extends Schema.TaggedError<ChatTemplateInvalid>()("ChatTemplateInvalid", {
  tokenizer: Schema.String,
  reason: Schema.String,
  /** File and line of the messages, where they are a row's. */
  place: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const place = this.place === undefined ? "" : `${this.place}: `
    return `${place}chat template of ${this.tokenizer}: ${this.reason}`
  }
}

/** Runs what renders a row; what the chat template refuses of it names the row. @throws what `run` throws */
export const renderingRow = <A>(
  origin: { readonly file: string; readonly line: number } | undefined,
  run: () => A
): A => {
  try {
    return run()
  } catch (cause) {
    if (!(cause instanceof ChatTemplateInvalid) || origin === undefined) throw cause
    const { reason, tokenizer } = cause
    throw new ChatTemplateInvalid({ tokenizer, reason, place: `${origin.file}, line ${origin.line}` })
  }
}

/** The tokenizer can produce ids that the model has no row for. */
export class VocabularyMismatch extends Schema.TaggedError<VocabularyMismatch>()("VocabularyMismatch", {
  tokenizer: Schema.String,
  tokenizerSize: Schema.Int,
  modelSize: Schema.Int
}) {
  override get message(): string {
    return (
      `tokenizer ${this.tokenizer} has ids up to ${this.tokenizerSize - 1}, ` +
      `the model's vocabulary ends at ${this.modelSize - 1}`
    )
  }
}

/** No token of a row is scored by the loss, e.g. a chat without an assistant turn. */
export class EmptyLossMask extends Schema.TaggedError<EmptyLossMask>()("EmptyLossMask", {
  file: Schema.String,
  line: Schema.Int
}) {
  override get message(): string {
    return `${this.file}, line ${this.line}: no token of this row counts in the loss`
  }
}

/** A row begins with BOS twice: data or template bring one that is added once more. */
export class DoubledBos extends Schema.TaggedError<DoubledBos>()("DoubledBos", {
  file: Schema.String,
  line: Schema.Int
}) {
  override get message(): string {
    return `${this.file}, line ${this.line}: begins with two beginning-of-text tokens`
  }
}

export class RowTooLong extends Schema.TaggedError<RowTooLong>()("RowTooLong", {
  file: Schema.String,
  line: Schema.Int,
  tokens: Schema.Int,
  maxLength: Schema.Int
}) {
  override get message(): string {
    return `${this.file}, line ${this.line}: ${this.tokens} tokens, above the maximum of ${this.maxLength}`
  }
}

/** Every row was dropped because its prompt alone fills the maximum length. */
export class NoRowsLeft extends Schema.TaggedError<NoRowsLeft>()("NoRowsLeft", {
  file: Schema.String,
  dropped: Schema.Int,
  maxLength: Schema.Int
}) {
  override get message(): string {
    return `${this.file}: all ${this.dropped} rows exceed the maximum length of ${this.maxLength} tokens`
  }
}

export class TooFewRows extends Schema.TaggedError<TooFewRows>()("TooFewRows", {
  rows: Schema.Int,
  batchSize: Schema.Int
}) {
  override get message(): string {
    return `${this.rows} rows do not fill one batch of ${this.batchSize}`
  }
}

export type DataError =
  | FileMissing
  | UnsupportedFile
  | MalformedRecord
  | EmptyDataset
  | EmptyCompletion
  | TokenizerInvalid
  | ChatTemplateInvalid
  | VocabularyMismatch
  | EmptyLossMask
  | DoubledBos
  | RowTooLong
  | NoRowsLeft
  | TooFewRows

const DATA_ERRORS = [
  FileMissing,
  UnsupportedFile,
  MalformedRecord,
  EmptyDataset,
  EmptyCompletion,
  TokenizerInvalid,
  ChatTemplateInvalid,
  VocabularyMismatch,
  EmptyLossMask,
  DoubledBos,
  RowTooLong,
  NoRowsLeft,
  TooFewRows
]

/** True for the failures this package announces; anything else that is thrown is a defect. */
export const isDataError = (cause: unknown): cause is DataError =>
  DATA_ERRORS.some((DataErrorClass) => cause instanceof DataErrorClass)

/** Runs synchronous code of this package; the failures it announces by throwing become typed failures. */
export const attempt = <A>(run: () => A): Effect.Effect<A, DataError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (cause) {
      return isDataError(cause) ? Effect.fail(cause) : Effect.die(cause)
    }
  })
