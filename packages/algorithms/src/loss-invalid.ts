import { Schema } from "effect"

/** Options with which a loss has no meaning. Constructors throw it, so such a loss never trains. */
export class LossInvalid extends Schema.TaggedError<LossInvalid>()("LossInvalid", {
  loss: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.loss}: ${this.reason}`
  }
}
