import { Schema } from "effect"

/** An adapter that cannot ride on this model, or options that make none. */
export class AdapterUnfit extends Schema.TaggedError<AdapterUnfit>()("AdapterUnfit", {
  adapter: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.adapter}: ${this.reason}`
  }
}

/** A folder that should hold an adapter and does not, or not one that is known here. */
export class AdapterInvalid extends Schema.TaggedError<AdapterInvalid>()("AdapterInvalid", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}
