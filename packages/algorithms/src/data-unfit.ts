import { Schema } from "effect"

/** The data lack what the algorithm learns from. */
export class DataUnfit extends Schema.TaggedError<DataUnfit>()("DataUnfit", {
  algorithm: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.algorithm}: ${this.reason}`
  }
}
