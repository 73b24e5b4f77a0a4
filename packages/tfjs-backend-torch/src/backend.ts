import { type DataType, type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { Handle, HostValues } from "./addon.ts"
import { aten, atenOwned, keep } from "./aten.ts"
import { emptyArray, type IndexRange, rangeOf } from "./host-values.ts"
import { record, type Recording } from "./recording.ts"
import { FLOAT32, holds, scalarTypeOf, type Storage, STORAGE_TYPES, StringsStayOnHost } from "./scalar-type.ts"
import { multiplyInvariantly } from "./start-cuda.ts"
import { free } from "./free.ts"
import { TensorBackend, type TorchDevice, WrongCount } from "./tensor-backend.ts"
import type { TensorData } from "./tensor-data.ts"
import { typeOf } from "./handle-facts.ts"

const reshape = aten("reshape")
const to = aten("to.dtype")
const toOwned = atenOwned("to.dtype")

/** Rows whose product is no faster by tensor cores: the weight is read once either way. */
export const FEW_TOKENS = 4

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

/** TensorFlow.js on libtorch: what tfjs asks of a backend, and what our kernels ask besides. */
export class TorchBackend extends TensorBackend {
  /** How activations are stored, and the copies of weights that products read. */
  readonly storage: Storage
  /** Whether a run gives the same bits each time, as it does on the CPU anyway. */
  readonly isDeterministic: boolean
  private invariant = false
  private readonly narrowProducts = new Map<number, boolean>()
  private onednn: boolean | undefined
  private grouping: boolean | undefined
  private boxes: boolean | undefined
  /** Whether what is called is recorded, to run again on other values; see `record`. */
  isRecording = false

  /** @throws TorchUnavailable where there is no addon, or no such device, or the library cannot be batch-invariant */
  constructor({ batchInvariant = false, deterministic = false, device, storage = "float32" }: TorchBackendOptions) {
    super(device)
    this.storage = storage
    this.isDeterministic = deterministic || device === "cpu"
    this.addon.deterministic(deterministic && device !== "cpu")
    if (batchInvariant) this.isBatchInvariant = true
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

  /** The tensor's handle on this backend's device, in the tensor's shape. The backend keeps owning it. */
  handle(tensor: TensorInfo): Handle {
    const data = this.data.get(tensor.dataId)
    if (data.onHost) {
      if (data.given !== undefined) throw new WrongCount(data.shape, data.given)
      if (data.handle === undefined) throw new StringsStayOnHost()
      const moved = this.addon.toDevice(data.handle, scalarTypeOf(data.dtype), this.device)
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

  /** Whether the host multiplies numbers of a scalar type as they are: of 16 bits only where it is quicker so than in float32. */
  hostMultiplies(type: number): boolean {
    const known = this.narrowProducts.get(type) ?? this.addon.multipliesNarrow(type)
    this.narrowProducts.set(type, known)
    return known
  }

  /** Whether the host multiplies larger float32 matrices quicker by oneDNN than ATen does. */
  get hasOneDnnProducts(): boolean {
    return (this.onednn ??= this.device === "cpu" && this.addon.onednnMultiplies())
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
    data.moves += 1
    data.companion = handle
  }

  /** The same values that `compute` gives, in parts of other memory, end to end; the backend owns `handles` from here on. */
  moveCompute(weights: ReadonlyArray<TensorInfo>, handles: ReadonlyArray<Handle>): void {
    weights.forEach((weight, i) => this.movePart(weight, handles[i]!))
    const all = weights.map(({ dataId }) => this.data.get(dataId))
    for (const data of all) data.joint = all
  }

  private movePart(weight: TensorInfo, handle: Handle): void {
    this.notes += 1
    const data = this.data.get(weight.dataId)
    if (data.companion !== undefined) return this.setCompanion(weight, handle)
    free(data.handle!)
    data.moves += 1
    data.handle = handle
    data.shape = weight.shape
    data.isPart = true
  }

  /** How often what products read of these tensors came to lie elsewhere, all together: what is recorded reads it where it was. */
  timesMoved(tensors: ReadonlyArray<TensorInfo>): number {
    let sum = 0
    for (const { dataId } of tensors) sum += this.data.get(dataId).moves
    return sum
  }

  /** Whether they were laid end to end in this order, perhaps with others before and behind. */
  areJoint(weights: ReadonlyArray<TensorInfo>): boolean {
    const first = this.data.get(weights[0]!.dataId)
    const { joint } = first
    if (joint === undefined) return false
    const place = joint.indexOf(first)
    return weights.every(({ dataId }, i) => {
      const data = this.data.get(dataId)
      return joint[place + i] === data && data.joint === joint
    })
  }

  /** Whether it was laid end to end with others. */
  isJoint({ dataId }: TensorInfo): boolean {
    return this.data.get(dataId).joint !== undefined
  }

  /** Other memory for the tensor's values, seen by all that share them; the backend owns `handle` from here on. */
  replace(tensor: TensorInfo, handle: Handle): void {
    this.notes += 1
    this.setCompanion(tensor, undefined)
    const data = this.data.get(tensor.dataId)
    free(data.handle!)
    data.handle = handle
    data.shape = tensor.shape
    data.isPart = false
    this.forgetValues(tensor)
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

  /** Whether this torch multiplies groups of rows by matrices of their own in one product. */
  get groupsProducts(): boolean {
    return (this.grouping ??= this.hasOperator("_grouped_mm"))
  }

  /** Whether the device's copy engines and tensor cores are those that our larger kernels are written for. */
  get copiesBoxes(): boolean {
    return (this.boxes ??= this.cuda?.addon.kernelsCopyBoxes() ?? false)
  }

  /**
   * Whether the kernels of a gated MLP are for so many tokens, and widths of them and within: where a token may have other bits
   * beside others, a few of which no gradient is asked for, and on a device that has what it takes so many as fill it with tiles of
   * 256 tokens by 128 numbers.
   */
  fusesGatedMlp(tokens: number, width: number, mlpWidth: number, withSlopes: boolean): boolean {
    const { cuda, isBatchInvariant, storage } = this
    if (cuda === undefined || storage !== "bfloat16" || isBatchInvariant || width % 8 !== 0 || tokens === 0)
      return false
    if (tokens <= FEW_TOKENS && !withSlopes) return true
    if (mlpWidth % 256 !== 0 || !this.copiesBoxes) return false
    const atOnce = Math.floor(cuda.multiprocessors / 2)
    const rounds = Math.ceil((Math.ceil(tokens / 256) * mlpWidth) / 128 / atOnce)
    return tokens * mlpWidth >= 0.8 * rounds * atOnce * 256 * 128
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
