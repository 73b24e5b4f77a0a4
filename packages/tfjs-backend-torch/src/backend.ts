import {
  type BackendTimingInfo,
  type DataId,
  type DataType,
  KernelBackend,
  type TensorInfo,
  util
} from "@tensorflow/tfjs-core"
import { type Addon, type CudaAddon, type CudaDevice, type Handle, type HostValues, loadAddon } from "./addon.ts"
import { aten, atenOwned, inScope, keep, temporary } from "./aten.ts"
import { areAlike, emptyArray, hostArray, type IndexRange, rangeOf, type Values } from "./host-values.ts"
import { record, type Recording } from "./recording.ts"
import { FLOAT32, holds, scalarTypeOf, type Storage, STORAGE_TYPES } from "./scalar-type.ts"
import { multiplyInvariantly, startCuda } from "./start-cuda.ts"
import { free } from "./free.ts"
import { type Description, type TensorData, TensorStore } from "./tensor-data.ts"
import { typeOf } from "./handle-facts.ts"

const reshape = aten("reshape")
const to = aten("to.dtype")
const toDevice = atenOwned("to.device")
const toOwned = atenOwned("to.dtype")
const viewAsComplex = atenOwned("view_as_complex")
const viewAsReal = aten("view_as_real")

/** "cpu", or "cuda" with the index of the device. */
export type TorchDevice = "cpu" | `cuda:${number}`

/** What a backend is for as long as it lives. */
export interface TorchBackendOptions {
  readonly device: TorchDevice
  /** How the fused kernels store activations and read weights; float32 when absent. */
  readonly storage?: Storage
  /** Whether a token's results have the same bits whatever is computed beside it: on CUDA in bfloat16; false when absent. */
  readonly batchInvariant?: boolean
  /** Whether a run on CUDA gives the same bits each time, which attention's fastest gradient does not; false when absent. */
  readonly deterministic?: boolean
}

export class TorchBackend extends KernelBackend {
  readonly device: TorchDevice
  /** Of a CUDA device; below 0 the host. */
  readonly deviceIndex: number
  /** What CUDA says of the device. */
  readonly cuda: (CudaDevice & { readonly addon: Addon & CudaAddon }) | undefined
  readonly addon: Addon
  /** How activations are stored, and the copies of weights that products read. */
  readonly storage: Storage
  /** Whether a run gives the same bits each time, as it does on the CPU anyway. */
  readonly isDeterministic: boolean
  private invariant = false
  private readonly data: TensorStore
  private readonly narrowProducts = new Map<number, boolean>()
  /** Whether what is called is recorded, to run again on other values; see `record`. */
  isRecording = false
  /** How often it was asked or noted what is known of values, beyond how they lie. */
  notes = 0

  /** @throws TorchUnavailable where there is no addon, or no such device, or the library cannot be batch-invariant */
  constructor({ batchInvariant = false, deterministic = false, device, storage = "float32" }: TorchBackendOptions) {
    super()
    this.device = device
    this.storage = storage
    this.addon = loadAddon()
    this.isDeterministic = deterministic || device === "cpu"
    this.addon.deterministic(deterministic && device !== "cpu")
    this.deviceIndex = device === "cpu" ? -1 : Number(device.slice("cuda:".length))
    this.cuda = device === "cpu" ? undefined : startCuda(this.addon, this.deviceIndex)
    if (batchInvariant) this.isBatchInvariant = true
    this.data = new TensorStore(this)
  }

  /** Whether a token's products and attention have the same bits whatever is computed beside it. */
  get isBatchInvariant(): boolean {
    return this.invariant
  }

  /** @throws TorchUnavailable where the device, the precision or the library cannot */
  set isBatchInvariant(on: boolean) {
    multiplyInvariantly(on, this.cuda, this.storage)
    this.invariant = on
  }

  override write(values: Values, shape: Array<number>, dtype: DataType): DataId {
    return this.known(this.data.create(this.described(values, shape, dtype)), values)
  }

  override move(dataId: DataId, values: Values, shape: Array<number>, dtype: DataType, refCount: number): void {
    this.known(this.data.adopt(dataId, this.described(values, shape, dtype)), values).refCount = refCount
  }

  private described(values: Values, shape: Array<number>, dtype: DataType): Description {
    if (dtype === "string")
      return { handle: undefined, strings: values as Array<Uint8Array>, shape, dtype, onHost: true }
    const onHost = this.device === "cpu" || shape.length === 0
    const handle = this.upload(values as Exclude<Values, Array<Uint8Array>>, shape, dtype, onHost ? "cpu" : this.device)
    return { handle, shape, dtype, onHost: this.device !== "cpu" && onHost }
  }

  /** Notes what can be told of values while they are on the host. */
  private known(data: TensorData, values: Values): TensorData {
    if (data.dtype === "int32") data.range = rangeOf(values as Int32Array)
    data.uniform = data.dtype !== "string" && areAlike(values as Float32Array)
    return data
  }

  private upload(
    values: Exclude<Values, Array<Uint8Array>>,
    shape: Array<number>,
    dtype: DataType,
    device: string
  ): Handle {
    if (dtype !== "complex64") return this.addon.fromHost(hostArray(values, dtype), shape, scalarTypeOf(dtype), device)
    return inScope(() =>
      viewAsComplex(temporary(this.addon.fromHost(values as Float32Array, [...shape, 2], FLOAT32, device)))
    )
  }

  override readSync(dataId: DataId): Values {
    this.notes += 1
    const { dtype, handle, shape, strings } = this.data.get(dataId)
    if (strings !== undefined) return strings
    const size = util.sizeFromShape(shape as Array<number>)
    if (dtype !== "complex64") return this.addon.toHost(handle!, emptyArray(dtype, size))
    return inScope(() => this.addon.toHost(viewAsReal(handle), new Float32Array(2 * size)))
  }

  /** Reads at once: the tensor may be disposed before the promise is awaited. */
  override async read(dataId: DataId): Promise<Values> {
    return this.readSync(dataId)
  }

  override refCount(dataId: DataId): number {
    return this.data.has(dataId) ? this.data.get(dataId).refCount : 0
  }

  override incRef(dataId: DataId): void {
    this.data.get(dataId).refCount += 1
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.data.has(dataId)) return true
    const data = this.data.get(dataId)
    data.refCount -= 1
    if (!force && data.refCount > 0) return false
    this.data.free(dataId, data)
    return true
  }

  override numDataIds(): number {
    return this.data.size
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: false }
  }

  override floatPrecision(): 32 {
    return 32
  }

  /** The base class reads this off `floatPrecision`, through the engine's active backend. */
  override epsilon(): number {
    return 1e-7
  }

  override timerAvailable(): boolean {
    return true
  }

  override async time(body: () => void): Promise<BackendTimingInfo> {
    if (this.cuda === undefined) {
      const start = performance.now()
      body()
      return { kernelMs: performance.now() - start }
    }
    const { addon } = this.cuda
    const start = addon.eventRecord()
    body()
    return { kernelMs: addon.eventElapsed(start, addon.eventRecord()) }
  }

  /** Tensors that are still alive are freed after the garbage collector. */
  override dispose(): void {}

  /** The tensor's handle on this backend's device, in the tensor's shape. The backend keeps owning it. */
  handle(tensor: TensorInfo): Handle {
    const data = this.data.get(tensor.dataId)
    if (data.onHost) {
      if (data.handle === undefined)
        throw new Error(`tensors of dtype ${tensor.dtype} cannot be computed with on torch`)
      const moved = toDevice(data.handle, this.device, scalarTypeOf(data.dtype))
      free(data.handle)
      data.handle = moved
      data.onHost = false
    }
    return this.shaped(data, tensor)
  }

  /** What is known of a tensor that lies on this backend's device, how it lies included. */
  onDevice(tensor: TensorInfo): TensorData {
    const data = this.data.get(tensor.dataId)
    if (data.onHost) this.handle(tensor)
    if (data.layout === 0) data.layout = this.addon.layout(data.handle!)
    const { companion } = data
    if (companion !== undefined && data.companionLayout === 0) data.companionLayout = this.addon.layout(companion)
    return data
  }

  /** A tensor that owns `handle`, which no scope frees, and which lies so. */
  made(handle: Handle, { dtype, shape }: Pick<TensorInfo, "dtype" | "shape">, layout: number): TensorInfo {
    const data = this.data.create({ handle, shape, dtype })
    data.layout = layout
    return { dataId: data, shape, dtype }
  }

  /** The same, but a single number may still be on the host: for elementwise operators, which take either. */
  handleOrNumber(tensor: TensorInfo): Handle {
    const data = this.data.get(tensor.dataId)
    return data.onHost && tensor.shape.length === 0 && data.handle !== undefined ? data.handle : this.handle(tensor)
  }

  private shaped(data: TensorData, { shape }: TensorInfo): Handle {
    return util.arraysEqual(data.shape as Array<number>, shape) ? data.handle! : reshape(data.handle, shape)
  }

  /** Whether the host multiplies numbers of a scalar type as they are: of 16 bits only where it has instructions for them. */
  hostMultiplies(type: number): boolean {
    const known = this.narrowProducts.get(type) ?? this.addon.multipliesNarrow(type)
    this.narrowProducts.set(type, known)
    return known
  }

  /** A weight in the backend's storage: itself, or a copy made once and kept until the values change. */
  compute(weight: TensorInfo): Handle {
    const handle = this.handle(weight)
    const type = STORAGE_TYPES[this.storage]
    if (type === FLOAT32 || typeOf(handle) !== FLOAT32) return handle
    const data = this.data.get(weight.dataId)
    if (data.companion === undefined) {
      this.notes += 1
      data.companion = toOwned(data.handle, type)
    }
    return util.arraysEqual(data.shape as Array<number>, weight.shape)
      ? data.companion
      : reshape(data.companion, weight.shape)
  }

  /** Known for what came from the host; what was computed on the device is read, which waits for it, once. */
  indexRange({ dataId }: TensorInfo): IndexRange {
    this.notes += 1
    const data = this.data.get(dataId)
    return (data.range ??= rangeOf(this.readSync(dataId) as Int32Array))
  }

  /** Whether every value is the same one, as far as the host knows without reading the device. */
  isUniform({ dataId, shape }: TensorInfo): boolean {
    this.notes += 1
    return util.sizeFromShape(shape) === 1 || this.data.get(dataId).uniform
  }

  setUniform({ dataId }: TensorInfo): void {
    this.notes += 1
    if (!this.isRecording) this.data.get(dataId).uniform = true
  }

  /** What is recorded runs again on other values, of which nothing is known. */
  whileRecording(body: () => void): void {
    this.isRecording = true
    try {
      body()
    } finally {
      this.isRecording = false
    }
  }

  /** Where a kernel has written into the tensor: what the host knew of its values is past. */
  forgetValues({ dataId }: TensorInfo): void {
    this.notes += 1
    const data = this.data.get(dataId)
    data.range = undefined
    data.uniform = false
  }

  hasCompanion({ dataId }: TensorInfo): boolean {
    this.notes += 1
    return this.data.get(dataId).companion !== undefined
  }

  companion({ dataId }: TensorInfo): Handle | undefined {
    this.notes += 1
    return this.data.get(dataId).companion
  }

  /** Sets what is kept beside the tensor's values and frees what was; the backend owns `handle` from here on. */
  setCompanion({ dataId }: TensorInfo, handle: Handle | undefined): void {
    this.notes += 1
    const data = this.data.get(dataId)
    if (data.companion !== undefined) free(data.companion)
    data.companion = handle
  }

  /** The same values that `compute` gives, in a part of other memory; the backend owns `handle` from here on. */
  moveCompute(weight: TensorInfo, handle: Handle): void {
    this.notes += 1
    const data = this.data.get(weight.dataId)
    if (data.companion !== undefined) return this.setCompanion(weight, handle)
    free(data.handle!)
    data.handle = handle
    data.shape = weight.shape
    data.isPart = true
  }

  /** Takes what is kept beside the values; the caller owns it. */
  takeCompanion({ dataId }: TensorInfo): Handle | undefined {
    this.notes += 1
    const data = this.data.get(dataId)
    const { companion } = data
    data.companion = undefined
    return companion
  }

  /** Records work to be done again. */
  record(body: () => void): Recording {
    return record(this, body)
  }

  /**
   * Queues the copies of numeric tensors to the host behind what is queued now; only where the device computes on its own.
   * What it returns waits for them, and for nothing that is queued later.
   */
  get readLater(): ((tensors: ReadonlyArray<TensorInfo>) => () => ReadonlyArray<HostValues>) | undefined {
    if (this.cuda === undefined) return undefined
    const { addon } = this.cuda
    return (tensors) => {
      const read = addon.readBegin(tensors.map((tensor) => this.handle(tensor)))
      const arrays = tensors.map(({ dtype, shape }) => emptyArray(dtype, util.sizeFromShape(shape)))
      return () => addon.readEnd(read, arrays)
    }
  }

  /** Whether this torch has `aten::name`, without an overload. */
  hasOperator(name: string): boolean {
    try {
      this.addon.operator(`aten::${name}`, "")
      return true
    } catch {
      return false
    }
  }

  strings(tensor: TensorInfo): Array<Uint8Array> | undefined {
    return this.data.get(tensor.dataId).strings
  }

  /**
   * A tensor of `dtype` that owns `handle`, which no scope frees from here on; converts it where the operator's result type
   * is another.
   */
  adopt(handle: Handle, dtype: DataType, shape: ReadonlyArray<number>): TensorInfo {
    const settled = holds(dtype, typeOf(handle)) ? handle : to(handle, scalarTypeOf(dtype))
    keep(settled)
    return { dataId: this.data.create({ handle: settled, shape, dtype }), shape: [...shape], dtype }
  }

  /** Another tensor on the same values. */
  share({ dataId, dtype }: TensorInfo, shape: ReadonlyArray<number>): TensorInfo {
    this.incRef(dataId)
    return { dataId, dtype, shape: [...shape] }
  }

  /** Whether something besides `tensor` sees its memory, so that it must not be written in place. */
  isShared(tensor: TensorInfo): boolean {
    return this.isAnyShared([tensor])
  }

  /** The same of one of several. */
  isAnyShared(tensors: ReadonlyArray<TensorInfo>): boolean {
    this.notes += 1
    const handles: Array<Handle> = []
    for (const { dataId } of tensors) {
      const { handle, isPart, refCount } = this.data.get(dataId)
      if (refCount > 1 || handle === undefined) return true
      if (!isPart) handles.push(handle)
    }
    return handles.length > 0 && this.addon.isShared(...handles)
  }
}
