import { type BackendTimingInfo, type DataId, type DataType, KernelBackend, util } from "@tensorflow/tfjs-core"
import { type Addon, type CudaAddon, type CudaDevice, type Handle, loadAddon } from "./addon.ts"
import { aten, atenOwned, inScope, temporary } from "./aten.ts"
import { areAlike, emptyArray, hostArray, rangeOf, type Values } from "./host-values.ts"
import { FLOAT32, scalarTypeOf } from "./scalar-type.ts"
import { startCuda } from "./start-cuda.ts"
import { type Description, type TensorData, TensorStore } from "./tensor-data.ts"

const viewAsComplex = atenOwned("view_as_complex")
const viewAsReal = aten("view_as_real")

/** "cpu", or "cuda" with the index of the device. */
export type TorchDevice = "cpu" | `cuda:${number}`

/**
 * A tensor is used that was made of too few or too many values. That it is made is no error: tfjs-core takes ragged lists for
 * tensors and lists of tensors, too, and tfjs-layers makes some that nothing ever reads.
 */
export class WrongCount extends Error {
  override readonly name = "WrongCount"
  readonly shape: ReadonlyArray<number>
  readonly given: number

  constructor(shape: ReadonlyArray<number>, given: number) {
    super(`a tensor of shape [${shape}] was made of ${given} values; are its lists of one length, and of numbers?`)
    this.shape = shape
    this.given = given
  }
}

/** What tfjs asks of a backend: values in and out, references, time. */
export abstract class TensorBackend extends KernelBackend {
  readonly device: TorchDevice
  /** Of a CUDA device; below 0 the host. */
  readonly deviceIndex: number
  /** What CUDA says of the device. */
  readonly cuda: (CudaDevice & { readonly addon: Addon & CudaAddon }) | undefined
  readonly addon: Addon
  protected readonly data: TensorStore
  /** How often it was asked or noted what is known of values, beyond how they lie. */
  notes = 0

  /** @throws TorchUnavailable where there is no addon, or no such device */
  constructor(device: TorchDevice) {
    super()
    this.device = device
    this.addon = loadAddon()
    this.deviceIndex = device === "cpu" ? -1 : Number(device.slice("cuda:".length))
    this.cuda = device === "cpu" ? undefined : startCuda(this.addon, this.deviceIndex)
    this.data = new TensorStore(this)
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
    const given = values.length
    if (given !== (dtype === "complex64" ? 2 : 1) * util.sizeFromShape(shape))
      return { handle: undefined, shape, dtype, onHost: true, given }
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
    const { dtype, given, handle, shape, strings } = this.data.get(dataId)
    if (strings !== undefined) return strings
    if (given !== undefined) throw new WrongCount(shape, given)
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
}
