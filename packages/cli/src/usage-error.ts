import { Schema } from "effect"

/** The command line cannot be understood: exit code 2. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", {
  /** One sentence each; all that is wrong is reported at once. */
  problems: Schema.Array(Schema.String),
  /** Where to read more. */
  help: Schema.String
}) {
  override get message() {
    return this.problems.join("\n")
  }
}

/** `--help` or `--version`: the text goes to standard output and the command ends there. */
export class TextRequested extends Schema.TaggedError<TextRequested>()("TextRequested", { text: Schema.String }) {
  override get message() {
    return this.text
  }
}
