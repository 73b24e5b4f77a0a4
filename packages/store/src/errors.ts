import { Schema } from "effect"

/** The database file cannot be opened, read or written: `reason` is in the words of the person at the terminal. */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `run store ${this.file}: ${this.reason}`
  }
}

/** The database was migrated by a later Plumbline; `supported` is the highest schema version this one knows. */
export class StoreTooNew extends Schema.TaggedError<StoreTooNew>()("StoreTooNew", {
  file: Schema.String,
  version: Schema.Int,
  supported: Schema.Int
}) {
  override get message() {
    return (
      `run store ${this.file} has schema version ${this.version}, this Plumbline knows versions up to ` +
      `${this.supported}: use the Plumbline that wrote it, or another file`
    )
  }
}

/** What opening a store can fail with. */
export type StoreError = StoreUnavailable | StoreTooNew

/** No run has this id, folder or name. `known` holds the nearest names in the store, best first. */
export class RunUnknown extends Schema.TaggedError<RunUnknown>()("RunUnknown", {
  run: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    if (this.known.length === 0) return `no run "${this.run}": the store holds no runs`
    return `no run "${this.run}"; the nearest in the store: ${this.known.join(", ")}`
  }
}

/** A number that SQLite or JSON would turn into null. `what` says which one, e.g. `metric "loss" of step 3`. */
export class NotStorable extends Schema.TaggedError<NotStorable>()("NotStorable", {
  what: Schema.String,
  value: Schema.Number
}) {
  override get message() {
    return `${this.what} is ${this.value}; the store keeps finite numbers only`
  }
}
