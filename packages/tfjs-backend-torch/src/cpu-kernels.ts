import type { Handle } from "./addon.ts"

/** Kernels of our own for the CPU. */
export interface CpuKernels {
  /** Σx² of contiguous tensors of float32 or bfloat16 on the CPU, in float64 and in one order. */
  readonly squareSum: (...xs: ReadonlyArray<Handle>) => number
  /**
   * Softmax of logits [M, V] / temperature, rows of float32 or bfloat16 on the CPU; what the lines are to say of the
   * targets, [M] int64, is written where they are given. With slopes, the logits become factor (1 where there are none) times
   * the gradient of the target's log-prob by them.
   */
  readonly logitRows: (
    ...args: [
      ...rows: [logits: Handle, targets: Handle],
      ...lines: [
        logProbs: Handle | null,
        entropies: Handle | null,
        correct: Handle | null,
        logNormalizers: Handle | null
      ],
      ...numbers: [factors: Handle | null, temperature: number, withSlopes: boolean]
    ]
  ) => void
  /**
   * One step of AdamW in place, contiguous tensors on the CPU: float32 but for the gradients, which may be bfloat16, and the
   * copies of parameters, which are.
   */
  readonly adamw: (
    ...args: [
      ...lists: [
        parameters: ReadonlyArray<Handle>,
        gradients: ReadonlyArray<Handle>,
        firsts: ReadonlyArray<Handle>,
        seconds: ReadonlyArray<Handle>,
        copies: ReadonlyArray<Handle | null>,
        decays: ReadonlyArray<number>,
        stepSizes: ReadonlyArray<number>
      ],
      ...numbers: [beta1: number, beta2: number, epsilon: number, denominatorScale: number, gradientScale: number]
    ]
  ) => void
  /** Heads of x [N, H·d], float32 or bfloat16 rows on the CPU, turned by sign times the angles of [N, R/2] into `out`. */
  readonly turnHeads: (x: Handle, cos: Handle, sin: Handle, sign: number, width: number, out: Handle) => void
  /** out = silu(gate) · up; rows at any distance on the CPU, `out` contiguous, all of float32 or all of bfloat16. */
  readonly siluGate: (gate: Handle, up: Handle, out: Handle) => void
  readonly siluGateGradient: (gate: Handle, up: Handle, dy: Handle, dgate: Handle, dup: Handle) => void
  /** Whether libtorch multiplies numbers of this type on this CPU by instructions for them that are no slower than float32's. */
  readonly multipliesNarrow: (scalarType: number) => boolean
  /** Whether oneDNN, as this libtorch has it, multiplies float32 quicker on this CPU than the library that ATen asks. */
  readonly onednnMultiplies: () => boolean
  /**
   * x·Wᵀ on the CPU, of float32 or bfloat16, or null where that is left to ATen; in the widest vector registers there are, or
   * in those of at most so many float32.
   */
  readonly rowProduct: (x: Handle, weight: Handle, lanes?: number) => Handle | null
  /** sum = x + addend, out = its RMS norm times a weight of float32; contiguous tensors on the CPU, the others all of float32 or bfloat16. */
  readonly rmsNorm: (
    x: Handle,
    addend: Handle | null,
    weight: Handle,
    epsilon: number,
    sum: Handle,
    out: Handle
  ) => void
  /**
   * Turns q [N, H·d] into `out`, k [N, K·d] and v into their slots of keys and values: rows of float32 or bfloat16 on the CPU.
   * Angles, and what those below take where nothing else is said, are contiguous float32.
   */
  readonly cacheHeads: (
    ...handles: [
      ...inputs: [q: Handle, k: Handle, v: Handle, cos: Handle, sin: Handle, positions: Handle, slots: Handle],
      ...outputs: [out: Handle, keys: Handle, values: Handle]
    ]
  ) => void
  /** Fills the rows of `out` that have one query; all of float32 or of bfloat16. 0 is no window and no soft cap. */
  readonly pagedDecode: (
    ...args: [
      ...handles: [q: Handle, keys: Handle, values: Handle, table: Handle, spans: Handle, out: Handle],
      ...numbers: [pageSize: number, scale: number, window: number, softCap: number]
    ]
  ) => void
  /** Fills the rows of `out` that have more than one query, likewise; in registers of so many lanes at most. */
  readonly pagedPrompts: (...args: [...call: Parameters<CpuKernels["pagedDecode"]>, lanes?: number]) => void
  readonly sampleTokens: (
    ...handles: [
      ...inputs: [logits: Handle, draws: Handle],
      ...edits: [starts: Handle | null, ids: Handle | null, values: Handle | null],
      ...allowed: [starts: Handle | null, ids: Handle | null],
      ...outputs: [ids: Handle, samplingLogProbs: Handle, policyLogProbs: Handle]
    ]
  ) => void
  /** Fills the last three: as many tokens of each row as `ids` is wide, by falling logit, equal ones by rising id. */
  readonly topLogProbs: (
    ...handles: [
      ...inputs: [logits: Handle, rows: Handle, targets: Handle],
      ...outputs: [ids: Handle, logProbs: Handle, targetLogProbs: Handle]
    ]
  ) => void
}
