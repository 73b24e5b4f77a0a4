import { Context, Effect, Layer, Schema } from "effect"
import { replaceBackwardPass } from "./backward-pass.ts"
import type { BatchInvariance } from "./batch-invariant.ts"
import { registerCpuFallbacks } from "./kernels/fallback.ts"
import { cpuMemory, silenceNodeBanner } from "./backends/cpu.ts"
import { loadTensorflow, tensorflowFailure } from "./backends/tensorflow.ts"
import {
  batchInvariance,
  describeTorch,
  registerTorch,
  torchCalls,
  torchFailure,
  torchMemory,
  type TorchPrecision,
  type TorchSettings
} from "./backends/torch.ts"
import { refuseWhatDoesNotFit, wasmFailure } from "./backends/wasm-limits.ts"
import { wasmBackend } from "./backends/wasm.ts"
import type { DeviceFailure } from "./device-failure.ts"
import { registerGradients } from "./kernels/gradients.ts"
import { hostKernels } from "./kernels/host-kernels.ts"
import { registerKernels } from "./kernels/host-memory.ts"
import { tapeRemakes, tapeRules } from "./kernels/tape-rules.ts"
import { wasmKernels } from "./kernels/wasm/kernels.ts"
import { loadNative } from "./kernels/wasm/native.ts"
import { followVariables } from "./tape-reach.ts"
import { remakeOutputs } from "./tape-remade.ts"
import { freeTapeOfFailures } from "./tape-failure.ts"
import { tf } from "./tf.ts"

/** A backend could not be started. */
export class BackendUnavailable extends Schema.TaggedError<BackendUnavailable>()("BackendUnavailable", {
  backend: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `backend ${this.backend} cannot be used here: ${this.reason}`
  }
}

export interface MemoryReport {
  /** Live tensors, and the bytes of their values. */
  readonly tensors: number
  readonly bytes: number
  /** Native tensors alive behind them and between them, and the bytes in use now, where the backend can tell. */
  readonly handles?: number
  readonly allocatedBytes?: number
  /** Bytes the backend has taken from the system, where it can tell. */
  readonly reservedBytes: number | undefined
  /** Bytes that the device can still give, where it has a memory of its own. */
  readonly availableBytes?: number | undefined
  /** Most bytes in use at one time since the backend started, temporaries included, where it can tell. */
  readonly peakBytes?: number | undefined
}

/** What was asked of a native library since the process began. */
export interface NativeCalls {
  /** Operators that computed something; on a device each is a kernel or more. */
  readonly operators: number
  /** Operators that made a view, or memory without values. */
  readonly views: number
  /** Kernels of ours on a device. */
  readonly kernels: number
  readonly uploads: number
  readonly reads: number
  /** Within operators and launches. */
  readonly seconds: number
  /** Whether calls return before their work is done. */
  readonly queued: boolean
}

export interface ModelRuntimeShape {
  readonly backend: string
  /** Of weights as products read them, and of activations. */
  readonly precision: TorchPrecision
  /** What the user is told: backend, device, threads. */
  readonly description: string
  readonly memory: () => MemoryReport
  /** Where the backend counts them. */
  readonly calls?: () => NativeCalls
  /** Where it is left to the work whether its kernels are batch-invariant. */
  readonly batchInvariance?: BatchInvariance | undefined
  /** What an error that an operation threw says of the device; undefined where it is a mistake of ours. */
  readonly failureOf: (cause: unknown) => DeviceFailure | undefined
}

/** The one numeric engine of a process. Models, objectives and generators all compute through it. */
export class ModelRuntime extends Context.Service<ModelRuntime, ModelRuntimeShape>()(
  "@plumbline/runtime/ModelRuntime"
) {
  /** TensorFlow.js on WebAssembly with SIMD: needs nothing beyond the installation. */
  static readonly layerWasm: Layer.Layer<ModelRuntime, BackendUnavailable> = Layer.effect(
    ModelRuntime,
    Effect.gen(function* () {
      yield* start("wasm")
      return ModelRuntime.of({
        backend: "wasm",
        precision: "float32",
        description: "TensorFlow.js wasm (SIMD), 1 thread, float32",
        memory: () => ({ ...measured(), reservedBytes: wasmBackend().wasm.HEAPU8.length }),
        failureOf: wasmFailure
      })
    })
  )

  /** libtensorflow through tfjs-node: the backend that TensorFlow.js users know. `npm run setup:tensorflow` makes it. */
  static readonly layerTensorflow: Layer.Layer<ModelRuntime, BackendUnavailable> = Layer.effect(
    ModelRuntime,
    Effect.gen(function* () {
      const loaded = yield* attempt("tensorflow", async () => loadTensorflow())
      yield* start("tensorflow")
      return ModelRuntime.of({
        backend: "tensorflow",
        precision: "float32",
        description: `${loaded} through TensorFlow.js, float32`,
        memory: () => ({ ...measured(), reservedBytes: undefined }),
        failureOf: tensorflowFailure
      })
    })
  )

  /** TensorFlow.js in plain JavaScript: slow, and the reference that other backends are tested against. */
  static readonly layerCpu: Layer.Layer<ModelRuntime, BackendUnavailable> = Layer.effect(
    ModelRuntime,
    Effect.gen(function* () {
      yield* start("cpu")
      return ModelRuntime.of({
        backend: "cpu",
        precision: "float32",
        description: "TensorFlow.js in JavaScript, 1 thread, float32",
        memory: () => ({ ...measured(), reservedBytes: undefined }),
        failureOf: () => undefined
      })
    })
  )

  /** libtorch, through the addon that `npm run setup:torch` builds. Loaded by this layer alone. */
  static readonly layerTorch = (settings: TorchSettings): Layer.Layer<ModelRuntime, BackendUnavailable> =>
    Layer.effect(
      ModelRuntime,
      Effect.gen(function* () {
        yield* attempt("torch", () => registerTorch(settings))
        yield* start("torch")
        return ModelRuntime.of({
          backend: "torch",
          precision: settings.precision ?? "float32",
          description: describeTorch(),
          memory: () => ({ ...measured(), ...torchMemory() }),
          calls: torchCalls,
          batchInvariance: batchInvariance(settings),
          failureOf: torchFailure
        })
      })
    )
}

const started = new Set<string>()

type Backend = keyof typeof prepare

const start = (backend: Backend): Effect.Effect<void, BackendUnavailable> =>
  attempt(backend, async () => {
    silenceNodeBanner()
    if (!(await tf.setBackend(backend))) throw new Error("it did not initialise")
    await tf.ready()
    registerGradients()
    replaceBackwardPass()
    followVariables(tapeRules)
    remakeOutputs(tapeRemakes)
    freeTapeOfFailures()
    if (!started.has(backend)) prepare[backend]()
    started.add(backend)
  })

const attempt = <A>(backend: Backend, body: () => Promise<A>): Effect.Effect<A, BackendUnavailable> =>
  Effect.tryPromise({
    try: body,
    catch: (cause) => new BackendUnavailable({ backend, reason: reasonOf(cause) })
  })

const prepare = {
  torch: () => registerCpuFallbacks("torch"),
  tensorflow: () => registerCpuFallbacks("tensorflow"),
  cpu: () => registerKernels("cpu", cpuMemory(), hostKernels),
  wasm: () => {
    refuseWhatDoesNotFit()
    const memory = loadNative()
    registerKernels("wasm", memory, { ...hostKernels, ...wasmKernels() })
    registerCpuFallbacks("wasm")
  }
}

/** tfjs rejects with plain objects that have a message, too. */
const reasonOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "message" in cause ? String(cause.message) : String(cause)

const measured = () => {
  const { numBytes, numTensors } = tf.memory()
  return { tensors: numTensors, bytes: numBytes }
}
