import type { ShardingUnsupported } from "@plumbline/runtime"
import { Schema } from "effect"

/** There is no model folder here: it is absent or has no config.json. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()("ModelNotFound", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `no model in ${this.folder}: ${this.reason}`
  }
}

/** A JSON file of the folder is not JSON, or a field has a wrong type or an impossible value. `field` is a dotted path. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  file: Schema.String,
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    const field = this.field === "" ? "" : ` field "${this.field}":`
    return `${this.file}:${field} ${this.reason}`
  }
}

/** config.json asks for something that exists but is not implemented here. */
export class UnsupportedModel extends Schema.TaggedError<UnsupportedModel>()("UnsupportedModel", {
  folder: Schema.String,
  field: Schema.String,
  value: Schema.String,
  supported: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { field, folder, supported, value } = this
    return `${folder}/config.json: ${field} ${value} is not supported; supported: ${supported.join(", ")}`
  }
}

/** A weights file is damaged, incomplete or contradicts itself. */
export class CheckpointInvalid extends Schema.TaggedError<CheckpointInvalid>()("CheckpointInvalid", {
  file: Schema.String,
  tensor: Schema.optionalKey(Schema.String),
  reason: Schema.String
}) {
  override get message(): string {
    const tensor = this.tensor === undefined ? "" : ` tensor ${this.tensor}:`
    return `${this.file}:${tensor} ${this.reason}`
  }
}

/** The model needs a tensor that no weights file holds. `unexpected` lists the names it might hide under. */
export class TensorMissing extends Schema.TaggedError<TensorMissing>()("TensorMissing", {
  folder: Schema.String,
  tensor: Schema.String,
  expected: Schema.Array(Schema.Int),
  unexpected: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const misnamed = this.unexpected.length === 0 ? "" : `; found instead: ${listed(this.unexpected)}`
    return `${this.folder}: tensor ${this.tensor} [${this.expected.join(", ")}] is missing${misnamed}`
  }
}

/** The weights files hold tensors that the model of this config.json has no place for. */
export class TensorUnexpected extends Schema.TaggedError<TensorUnexpected>()("TensorUnexpected", {
  folder: Schema.String,
  tensors: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.folder}: the model has no place for ${listed(this.tensors)}`
  }
}

/** A tensor's shape is not the one that config.json implies. */
export class TensorShapeMismatch extends Schema.TaggedError<TensorShapeMismatch>()("TensorShapeMismatch", {
  folder: Schema.String,
  tensor: Schema.String,
  expected: Schema.Array(Schema.Int),
  found: Schema.Array(Schema.Int)
}) {
  override get message(): string {
    return (
      `${this.folder}: tensor ${this.tensor} has shape [${this.found.join(", ")}], ` +
      `config.json implies [${this.expected.join(", ")}]`
    )
  }
}

/** The folder's model gives no scores: it is a language model, and no new head was asked for. */
export class HeadMissing extends Schema.TaggedError<HeadMissing>()("HeadMissing", { folder: Schema.String }) {
  override get message(): string {
    return `${this.folder} holds no reward model: there is no score.weight; plumb rm trains one`
  }
}

/** A file from which a head is to start holds none that fits. */
export class HeadInvalid extends Schema.TaggedError<HeadInvalid>()("HeadInvalid", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** A model folder could not be written; what was at its place before is untouched. */
export class SaveFailed extends Schema.TaggedError<SaveFailed>()("SaveFailed", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cannot save a model to ${this.folder}: ${this.reason}`
  }
}

/** What reading config.json can fail with. */
export type ConfigError = ModelNotFound | ConfigInvalid | UnsupportedModel

/** What reading a model folder can fail with. */
export type LoadError =
  ShardingUnsupported | ConfigError | CheckpointInvalid | TensorMissing | TensorUnexpected | TensorShapeMismatch

const listed = (names: ReadonlyArray<string>): string =>
  names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`
