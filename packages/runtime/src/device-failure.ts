import { Schema } from "effect"

const Bytes = Schema.NullOr(Schema.Finite)

/** The device has no room for what an operation asked. Nothing of the process is broken: less may still fit. */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  operator: Schema.String,
  /** Dtypes and shapes of its arguments, as text. */
  shapes: Schema.String,
  /** null where it cannot be told */
  bytesAsked: Bytes,
  bytesFree: Bytes
}) {
  override get message() {
    const asked = this.bytesAsked === null ? "" : `: ${bytesText(this.bytesAsked)} asked for`
    const free = this.bytesFree === null ? "" : `${asked === "" ? ":" : ","} ${bytesText(this.bytesFree)} free`
    const shapes = this.shapes === "" ? "" : ` (${shortened(this.shapes)})`
    return `out of memory in ${this.operator}${shapes}${asked}${free}`
  }
}

/** A fault of the device, after which this process can compute nothing more on it. */
export class DeviceLost extends Schema.TaggedError<DeviceLost>()("DeviceLost", {
  operator: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `the device failed in ${this.operator}: ${shortened(this.reason)}`
  }
}

/** A token's results were asked to be the same in every batch, and cannot be for this model, library or device. */
export class BatchInvarianceUnavailable extends Schema.TaggedError<BatchInvarianceUnavailable>()(
  "BatchInvarianceUnavailable",
  { reason: Schema.String }
) {
  override get message() {
    return this.reason
  }
}

/** Another of the processes that compute together is gone, has failed, does not come in time or does other work, and this one cannot go on without it. */
export class ProcessLost extends Schema.TaggedError<ProcessLost>()("ProcessLost", { reason: Schema.String }) {
  override get message() {
    return `the processes of this run cannot go on: ${this.reason}`
  }
}

/** What was asked for cannot be done with weights that the processes of a run have in parts. */
export class ShardingUnsupported extends Schema.TaggedError<ShardingUnsupported>()("ShardingUnsupported", {
  reason: Schema.String
}) {
  override get message() {
    return `--sharding full: ${this.reason}. With --sharding gradients each process has all weights`
  }
}

export type DeviceFailure = OutOfMemory | DeviceLost | BatchInvarianceUnavailable | ProcessLost | ShardingUnsupported

const shortened = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

const bytesText = (bytes: number): string => {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(2)} ${units[power]}`
}
