import { type DataId, DataStorage, type DataType, engine, type KernelBackend } from "@tensorflow/tfjs-core"
import { type Handle, loadAddon } from "./addon.ts"
import { free } from "./free.ts"
import type { IndexRange } from "./host-values.ts"

/** What the addon holds for a tensor. */
interface Memory {
  /** Absent for strings, which stay on the host. */
  handle: Handle | undefined
  /** What a kernel derived from the values and keeps beside them, freed with them: a narrower copy of a weight. */
  companion: Handle | undefined
}

/** What its memory is freed after, where nothing leads to the tensor any more. */
interface Guard {
  readonly memory: Memory
}

export interface Description {
  readonly handle: Handle | undefined
  readonly dtype: DataType
  readonly shape: ReadonlyArray<number>
  readonly strings?: Array<Uint8Array> | undefined
  readonly onHost?: boolean
  /** How many values it was made of, where its shape needs another number; there is no memory then. */
  readonly given?: number
}

/** What the backend knows of a tensor's values; their data id, too. */
export class TensorData {
  readonly store: TensorStore
  readonly guard: Guard
  readonly dtype: DataType
  /** Shape of the handle; tensors that share it may have another. */
  shape: ReadonlyArray<number>
  readonly strings: Array<Uint8Array> | undefined
  readonly given: number | undefined
  /** A single number is kept on the host until a kernel needs it on the device. */
  onHost: boolean
  /** 0 once freed. */
  refCount = 1
  /** Smallest and largest of whole numbers, where they are known on the host. */
  range: IndexRange | undefined = undefined
  /** Its memory is a part, nobody else's, of what several tensors lie in. */
  isPart = false
  /** Tensors whose memory that products read was laid end to end, this one among them; the same list in each. */
  joint: ReadonlyArray<TensorData> | undefined = undefined
  /** How often what products read of it came to lie elsewhere. */
  moves = 0
  /** All values are known to be the same. */
  uniform = false
  /** The addon's numbers for how the tensor and its companion lie; 0 where nobody has asked yet, or there is none. */
  layout = 0
  companionLayout = 0

  constructor(store: TensorStore, guard: Guard, { dtype, given, onHost = false, shape, strings }: Description) {
    this.store = store
    this.guard = guard
    this.dtype = dtype
    this.shape = shape
    this.strings = strings
    this.given = given
    this.onHost = onHost
  }

  get handle(): Handle | undefined {
    return this.guard.memory.handle
  }

  set handle(handle: Handle | undefined) {
    this.layout = 0
    this.joint = undefined
    this.guard.memory.handle = handle
  }

  get companion(): Handle | undefined {
    return this.guard.memory.companion
  }

  set companion(handle: Handle | undefined) {
    this.companionLayout = 0
    this.joint = undefined
    this.guard.memory.companion = handle
  }
}

/** The tensors of a backend. Memory of those that the program drops and does not dispose of is freed after a collection. */
export class TensorStore {
  /** By the data ids of backends they were moved from. */
  private readonly moved: DataStorage<TensorData>
  /** To know when one is collected costs more than a tensor, so guards serve again. */
  private readonly unused: Array<Guard> = []
  private readonly collected: FinalizationRegistry<Memory>
  private count = 0

  constructor(backend: KernelBackend) {
    this.moved = new DataStorage<TensorData>(backend, engine() as never)
    this.collected = new FinalizationRegistry((memory) => {
      this.release(memory)
      loadAddon().collected()
    })
  }

  get size(): number {
    return this.count
  }

  create(description: Description): TensorData {
    const guard = this.unused.pop() ?? this.newGuard()
    guard.memory.handle = description.handle
    this.count += 1
    return new TensorData(this, guard, description)
  }

  /** The same for a data id of another backend. */
  adopt(dataId: DataId, description: Description): TensorData {
    const data = this.create(description)
    this.moved.set(dataId, data)
    return data
  }

  private newGuard(): Guard {
    const guard = { memory: { handle: undefined, companion: undefined } }
    this.collected.register(guard, guard.memory)
    return guard
  }

  /** Brings values of another backend here. */
  get(dataId: DataId): TensorData {
    return this.isOwn(dataId) ? dataId : this.moved.get(dataId)
  }

  has(dataId: DataId): boolean {
    return this.isOwn(dataId) || this.moved.has(dataId)
  }

  private isOwn(dataId: DataId): dataId is TensorData {
    return dataId instanceof TensorData && dataId.store === this && dataId.refCount > 0
  }

  free(dataId: DataId, data: TensorData): void {
    data.refCount = 0
    this.release(data.guard.memory)
    this.unused.push(data.guard)
    if (data !== dataId) this.moved.delete(dataId)
  }

  private release(memory: Memory): void {
    const { companion, handle } = memory
    memory.handle = undefined
    memory.companion = undefined
    this.count -= 1
    if (companion !== undefined) free(companion)
    if (handle !== undefined) free(handle)
  }
}
