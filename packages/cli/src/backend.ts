import { type BackendUnavailable, computing, ModelRuntime } from "@plumbline/runtime"
import { option } from "@plumbline/training"
import { Context, Effect, Layer, Schema } from "effect"
import { deviceIndex, isFirstProcess } from "./processes.ts"
import { remark } from "./terminal.ts"

const Precision = Schema.Literals(["float32", "bfloat16"])
const Device = Schema.Literals(["cpu", "cuda"])
const BatchInvariant = Schema.Literals(["auto", true, false])

interface BackendChoice {
  readonly layer: (options: {
    readonly device: typeof Device.Type
    readonly precision: typeof Precision.Type
    readonly batchInvariant: typeof BatchInvariant.Type
    readonly deterministic: boolean
    readonly deviceIndex: number
  }) => Layer.Layer<ModelRuntime, BackendUnavailable>
  readonly precisions: ReadonlyArray<typeof Precision.Type>
  readonly devices: ReadonlyArray<typeof Device.Type>
  /** Where it has batch-invariant kernels. */
  readonly invariant?: { readonly device: typeof Device.Type; readonly precision: typeof Precision.Type }
}

/** What each backend can do, and how it starts. */
const backends = {
  wasm: { layer: () => ModelRuntime.layerWasm, precisions: ["float32"], devices: ["cpu"] },
  torch: {
    layer: ModelRuntime.layerTorch,
    precisions: ["float32", "bfloat16"],
    devices: ["cpu", "cuda"],
    invariant: { device: "cuda", precision: "bfloat16" }
  },
  tensorflow: { layer: () => ModelRuntime.layerTensorflow, precisions: ["float32"], devices: ["cpu"] },
  cpu: { layer: () => ModelRuntime.layerCpu, precisions: ["float32"], devices: ["cpu"] }
} as const satisfies Record<string, BackendChoice>

type BackendName = keyof typeof backends
const names = Object.keys(backends) as ReadonlyArray<BackendName>

/** What `auto` tries, in this order. */
const AUTOMATIC: ReadonlyArray<BackendName> = ["torch", "wasm"]

/** Flags of every command that computes. */
export const machineFields = {
  backend: option(
    Schema.Literals(["auto", ...names]),
    "auto",
    "engine that computes; auto takes torch where it is set up, else wasm"
  ),
  precision: option(Precision, "float32", "number format of weights and activations"),
  device: option(Device, "cpu", "where it computes"),
  batchInvariant: option(
    BatchInvariant,
    "auto",
    "kernels that give a token the same bits in every batch, so that sampler and trainer agree; torch, cuda, bfloat16. auto takes them where tokens are sampled for ppo, grpo and their like"
  ),
  deterministic: option(
    Schema.Boolean,
    false,
    "the same bits on every run, and after resuming, on cuda; attention's gradient takes longer. On a CPU it is always so"
  )
} as const

const MachineOptions = Schema.Struct(machineFields)
export type MachineOptions = typeof MachineOptions.Type

/** No backend, or not the one that was named, can compute in this precision on this device. */
export class MachineUnsupported extends Schema.TaggedError<MachineUnsupported>()("MachineUnsupported", {
  backend: Schema.String,
  precision: Schema.String,
  device: Schema.String,
  batchInvariant: BatchInvariant
}) {
  override get message() {
    const who =
      this.backend === "auto" ? "no backend of this version computes" : `backend ${this.backend} cannot compute`
    const able = names.map(
      (name) => `${name}: ${backends[name].precisions.join(", ")} on ${backends[name].devices.join(", ")}`
    )
    const isWanted = this.batchInvariant === true
    const how = isWanted ? " with --batch-invariant" : ""
    const invariant = names.flatMap((name) => {
      const found = (backends[name] as BackendChoice).invariant
      return found === undefined ? [] : [`with --batch-invariant ${name}: ${found.precision} on ${found.device}`]
    })
    const there = isWanted ? [...able, ...invariant] : able
    return `${who} in ${this.precision} on ${this.device}${how}. What there is: ${there.join("; ")}`
  }
}

const supports = (name: BackendName, { batchInvariant, device, precision }: MachineOptions): boolean => {
  const { devices, precisions, invariant }: BackendChoice = backends[name]
  if (!devices.includes(device) || !precisions.includes(precision)) return false
  return batchInvariant !== true || (invariant?.device === device && invariant.precision === precision)
}

/** The backends that the flags allow, the one to try first in front. */
const candidatesFor = (options: MachineOptions): Effect.Effect<ReadonlyArray<BackendName>, MachineUnsupported> => {
  const named = options.backend === "auto" ? AUTOMATIC : [options.backend]
  const able = named.filter((name) => supports(name, options))
  return able.length === 0 ? Effect.fail(new MachineUnsupported({ ...options })) : Effect.succeed(able)
}

/**
 * The runtime that the flags ask for. `auto` takes the first of its backends that starts, and says on standard error
 * which one that is and why not the one before it; where none starts, the first one's reason is the failure.
 */
const runtimeLayer = (options: MachineOptions) =>
  Layer.unwrap(
    Effect.map(candidatesFor(options), ([first, ...others]) => {
      const start = (name: BackendName) =>
        (backends[name] as BackendChoice).layer({ ...options, deviceIndex: deviceIndex() })
      if (options.backend !== "auto") return start(first!)
      const preferred = Layer.tap(start(first!), announce())
      return others.reduce(
        (layer, name) =>
          Layer.catchTag(layer, "BackendUnavailable", (missing) => Layer.tap(start(name), announce(missing))),
        preferred
      )
    })
  )

/** Runs `effect` on the machine that the flags ask for; what its device refuses is a typed failure. */
export const onMachine =
  (options: MachineOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(computing(effect), runtimeLayer(options))

const announce = (missing?: BackendUnavailable) => (context: Context.Context<ModelRuntime>) => {
  const { description } = Context.get(context, ModelRuntime)
  return isFirstProcess()
    ? remark(`backend: ${description}${missing === undefined ? "" : ` (${missing.backend}: ${missing.reason})`}`)
    : Effect.void
}
