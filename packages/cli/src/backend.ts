import { type BackendUnavailable, ModelRuntime } from "@plumbline/runtime"
import { option } from "@plumbline/training"
import { Context, Effect, Layer, Schema } from "effect"
import { remark } from "./terminal.ts"

const Precision = Schema.Literals(["float32", "bfloat16"])
const Device = Schema.Literals(["cpu", "cuda"])

interface BackendChoice {
  readonly layer: (options: {
    readonly device: typeof Device.Type
    readonly precision: typeof Precision.Type
  }) => Layer.Layer<ModelRuntime, BackendUnavailable>
  readonly precisions: ReadonlyArray<typeof Precision.Type>
  readonly devices: ReadonlyArray<typeof Device.Type>
}

/** What each backend can do, and how it starts. */
const backends = {
  wasm: { layer: () => ModelRuntime.layerWasm, precisions: ["float32"], devices: ["cpu"] },
  torch: { layer: ModelRuntime.layerTorch, precisions: ["float32", "bfloat16"], devices: ["cpu", "cuda"] },
  tensorflow: { layer: () => ModelRuntime.layerTensorflow, precisions: ["float32"], devices: ["cpu"] },
  cpu: { layer: () => ModelRuntime.layerCpu, precisions: ["float32"], devices: ["cpu"] }
} as const satisfies Record<string, BackendChoice>

type BackendName = keyof typeof backends
const names = Object.keys(backends) as ReadonlyArray<BackendName>

/** Flags of every command that computes. */
export const machineFields = {
  backend: option(
    Schema.Literals(["auto", ...names]),
    "auto",
    "engine that computes; auto takes wasm where it can do what is asked, else torch"
  ),
  precision: option(Precision, "float32", "number format of weights and activations"),
  device: option(Device, "cpu", "where it computes")
} as const

const MachineOptions = Schema.Struct(machineFields)
export type MachineOptions = typeof MachineOptions.Type

/** No backend, or not the one that was named, can compute in this precision on this device. */
export class MachineUnsupported extends Schema.TaggedError<MachineUnsupported>()("MachineUnsupported", {
  backend: Schema.String,
  precision: Schema.String,
  device: Schema.String
}) {
  override get message() {
    const who =
      this.backend === "auto" ? "no backend of this version computes" : `backend ${this.backend} cannot compute`
    const able = names.map(
      (name) => `${name}: ${backends[name].precisions.join(", ")} on ${backends[name].devices.join(", ")}`
    )
    return `${who} in ${this.precision} on ${this.device}. What there is: ${able.join("; ")}`
  }
}

const supports = (name: BackendName, { device, precision }: MachineOptions): boolean => {
  const { devices, precisions }: BackendChoice = backends[name]
  return devices.includes(device) && precisions.includes(precision)
}

/** The backend that the flags ask for; `auto` takes the first of the table that can do it. */
export const chooseBackend = (options: MachineOptions): Effect.Effect<BackendName, MachineUnsupported> => {
  const candidates = options.backend === "auto" ? names : [options.backend]
  const name = candidates.find((candidate) => supports(candidate, options))
  return name === undefined ? Effect.fail(new MachineUnsupported({ ...options })) : Effect.succeed(name)
}

/** The runtime that the flags ask for. `auto` says on standard error which one it took. */
export const runtimeLayer = (options: MachineOptions) =>
  Layer.unwrap(
    Effect.map(chooseBackend(options), (name) => {
      const layer = (backends[name] as BackendChoice).layer(options)
      return options.backend === "auto" ? Layer.tap(layer, announce) : layer
    })
  )

const announce = (context: Context.Context<ModelRuntime>) =>
  remark(`backend: ${Context.get(context, ModelRuntime).description}`)
