import { composedTensor } from "@plumbline/models"
import { type RandomStream, type Tensor2D, tf, type Variable, writeValues } from "@plumbline/runtime"
import { AdapterUnfit } from "../errors.ts"
import { type AdapterTensor, type Found, zeros } from "../method.ts"
import { type PrincipalPart, principalPart } from "../principal.ts"
import type { LinearModule } from "../targets.ts"
import type { LoraNumbers, LoraPair, LoraStart } from "./lora-start.ts"

const [MOVED_A, MOVED_B, FIRST_A, FIRST_B] = ["lora_A.weight", "lora_B.weight", "principal_A", "principal_B"] as const

/**
 * PiSSA: A and B begin as the largest singular values and vectors of the weight, W ≈ s·B₀·A₀, and what is left of it is
 * frozen. The paper takes that part out of W; here W stays as it is, so that the model without the adapter is still the
 * model, and the adapter is the difference, of rank 2r:
 *
 *   s·(B·A − B₀·A₀) = s·[B − B₀, B₀]·[A; A − A₀]
 *
 * Trained are A − A₀ and B − B₀, which begin at 0: the gradients are those of A and B, and the adapter begins as the base,
 * bit for bit. It is stored as that product, a LoRA adapter of the base which PEFT opens; PEFT makes one of the same
 * weights with `path_initial_model_for_weight_conversion`.
 *
 * Deviations: weight decay pulls toward A₀ and B₀, not toward 0; dropout is on the difference; a base in 4 bits is rounded
 * whole, not without its principal part.
 *
 * @see Meng et al. 2024, https://arxiv.org/abs/2404.02948
 */
export const pissa: LoraStart = {
  named: true,
  isNeutral: true,
  storedRanks: 2,
  tensors: (module, numbers) => {
    refuseUnfit(module, numbers)
    const { inputs, outputs } = module
    const { plusRatio: rate, rank } = numbers
    const first = firstPair(module, numbers)
    return [
      { suffix: MOVED_A, shape: [rank, inputs], initial: () => zeros([rank, inputs]) },
      { suffix: MOVED_B, shape: [outputs, rank], initial: () => zeros([outputs, rank]), rate },
      { suffix: FIRST_A, shape: [rank, inputs], initial: (_, stream) => first(stream).a, trained: false },
      { suffix: FIRST_B, shape: [outputs, rank], initial: (_, stream) => first(stream).b, trained: false }
    ]
  },
  pair: (own) => pairOf(own),
  stored: ({ inputs, outputs }, { rank }, own) => {
    const { a, b } = pairOf(own)
    const moved = (suffix: string, values: Float32Array) => writeValues(own(suffix) as Variable, values)
    return {
      [MOVED_A]: composedTensor(a, {
        shape: [2 * rank, inputs],
        frozen: [own(FIRST_A)],
        restore: (values) => moved(MOVED_A, values.slice(rank * inputs))
      }),
      [MOVED_B]: composedTensor(b, {
        shape: [outputs, 2 * rank],
        frozen: [own(FIRST_B)],
        restore: (values) => moved(MOVED_B, leftHalf(values, outputs, rank))
      })
    }
  }
}

const pairOf = (own: Found): LoraPair => {
  const of = (suffix: string) => own(suffix) as Tensor2D
  return {
    a: () => tf.concat([tf.add(of(FIRST_A), of(MOVED_A)), of(MOVED_A)], 0),
    b: () => tf.concat([of(MOVED_B), of(FIRST_B)], 1)
  }
}

/** The first `rank` columns of [rows, 2·rank]. */
const leftHalf = (values: Float32Array, rows: number, rank: number): Float32Array =>
  zeros([rows, rank]).map((_, i) => values[Math.floor(i / rank) * 2 * rank + (i % rank)]!)

const refuseUnfit = ({ inputs, name, outputs }: LinearModule, { rank, scale }: LoraNumbers): void => {
  const unfit = (reason: string) => new AdapterUnfit({ adapter: "PiSSA", reason })
  if (rank > Math.min(inputs, outputs)) {
    throw unfit(`${name} [${outputs}, ${inputs}] has no ${rank} singular values: take a smaller rank`)
  }
  if (!(scale > 0)) throw unfit(`the principal part of ${name} cannot be scaled by ${scale}: alpha must be above 0`)
}

/** A₀ = √(σ/s)·rightᵀ and B₀ = left·√(σ/s), made once for both; from a random subspace of the module's stream. */
const firstPair = (module: LinearModule, { rank, scale }: LoraNumbers) => {
  let made: Readonly<Record<"a" | "b", ReturnType<AdapterTensor["initial"]>>> | undefined
  return (stream: RandomStream) => {
    made ??= tf.tidy(() => scaledPair(principalPart(module.weight(), rank, stream.child("subspace")), scale) as never)
    return made!
  }
}

const scaledPair = ({ left, right, values }: PrincipalPart, scale: number) => {
  const roots = values.map((value) => Math.sqrt(value / scale))
  const [rank, inputs, outputs] = [roots.length, right[0]!.length, left[0]!.length]
  return {
    a: zeros([rank, inputs]).map(
      (_, i) => right[Math.floor(i / inputs)]![i % inputs]! * roots[Math.floor(i / inputs)]!
    ),
    b: zeros([outputs, rank]).map((_, i) => left[i % rank]![Math.floor(i / rank)]! * roots[i % rank]!)
  }
}
