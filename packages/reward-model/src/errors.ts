import { Schema } from "effect"

/** A row lacks what a reward needs to judge it: the data's fault, and found before any work on that row. */
export class RewardInputMissing extends Schema.TaggedError<RewardInputMissing>()("RewardInputMissing", {
  row: Schema.String,
  part: Schema.String,
  /** What is missing or cannot be used, e.g. "answer". */
  field: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.row}: reward "${this.part}" needs "${this.field}", ${this.reason}`
  }
}

/** A scorer could not judge a row: it is down, or its answer cannot be used. */
export class RewardFailed extends Schema.TaggedError<RewardFailed>()("RewardFailed", {
  row: Schema.String,
  part: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.row}: reward "${this.part}" failed: ${this.reason}`
  }
}

/** A row was not judged within its deadline. */
export class RewardTimedOut extends Schema.TaggedError<RewardTimedOut>()("RewardTimedOut", {
  row: Schema.String,
  part: Schema.String,
  seconds: Schema.Finite,
  /** Of the server that was asked, where one was. */
  url: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const asked = this.url === undefined ? "" : `: ${this.url} gave no answer`
    return `${this.row}: reward "${this.part}" took longer than its deadline of ${this.seconds} s${asked}`
  }
}

/** A server that scores cannot be used, which is found before the first row. */
export class RewardUnavailable extends Schema.TaggedError<RewardUnavailable>()("RewardUnavailable", {
  url: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `the reward server at ${this.url} cannot be used: ${this.reason}`
  }
}

/** A scorer said NaN or an infinity. */
export class RewardNotFinite extends Schema.TaggedError<RewardNotFinite>()("RewardNotFinite", {
  row: Schema.String,
  part: Schema.String,
  /** Index of the response in its group. */
  response: Schema.Int,
  value: Schema.Number,
  /** Of the server that said it, where one did. */
  url: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const said = this.url === undefined ? "" : `: ${this.url} said so`
    return `${this.row}: reward "${this.part}" of response ${this.response} is ${this.value}, not a finite number${said}`
  }
}

export type RewardError = RewardInputMissing | RewardFailed | RewardTimedOut | RewardNotFinite
