import {
  awaitGathers,
  beforeBackward,
  gatherParts,
  isDifferentiating,
  type ProcessesShape,
  releaseValues,
  type Tensor,
  type Variable,
  writeValues
} from "@plumbline/runtime"
import type { TensorValues } from "../safetensors/stored-tensor.ts"
import { joinedValues } from "./joined-values.ts"
import { ownValues } from "./parts.ts"
import { type Place, placeAfter } from "./places.ts"

/**
 * The matrices of a model of which each process has one part, and which are whole only where a pass is: those of one place on
 * its way and of the next, which are gathered meanwhile. A matrix is a tensor without values in the meantime; what a tape saves
 * shares its values, and so has them when the backward pass comes to the same place.
 *
 * Gathering is done together: all processes make the same passes in the same order.
 *
 * @see Zhao et al. 2023, PyTorch FSDP, https://arxiv.org/abs/2304.11277
 * @see Rajbhandari et al. 2020, ZeRO, stage 3, https://arxiv.org/abs/1910.02054
 */
export interface Shards {
  /** [size / processes], this process's part: float32 where it is trained, else as products read it. Undefined of what is whole. */
  readonly partOf: (parameter: Tensor) => Tensor | undefined
  /** Has the matrices of a place there, frees all others but those of the next one, and begins to gather these. */
  readonly enter: (place: Place) => void
  /** Has a matrix there that is read outside of a pass. */
  readonly need: (parameter: Tensor) => void
  /** What a place gives: the backward pass enters the place before it comes to what made x. */
  readonly left: <T extends Tensor>(place: Place, x: T) => T
  /** Frees what was gathered. To be called when parts have changed, too. */
  readonly rest: () => void
  /** A parameter's whole values. All processes ask for those of the same parameters in the same order; the first gets them. */
  readonly valuesOf: (parameter: Tensor) => TensorValues | undefined
  /** Sets this process's part of a trained parameter to that of the whole values. */
  readonly write: (parameter: Tensor, values: Float32Array) => void
}

/** A matrix in parts. */
export interface Shard {
  readonly whole: Tensor
  readonly part: Tensor
  readonly places: ReadonlyArray<Place>
}

/** @param output the last place of the way */
export const shardsOf = (all: ReadonlyArray<Shard>, output: Place, { rank }: ProcessesShape): Shards => {
  const byWhole = new Map(all.map((shard) => [shard.whole, shard]))
  // products of several matrices want them side by side, as those of one common axis then are
  const inOrder = all.toSorted((a, b) => a.whole.shape[1]! - b.whole.shape[1]!)
  const at = Array.from({ length: output + 1 }, (_, place) => inOrder.filter(({ places }) => places.includes(place)))
  const there = new Set<Shard>()
  let here: Place | undefined
  let isGathering = false
  const gather = (shards: ReadonlyArray<Shard>) => {
    const missing = shards.filter((shard) => !there.has(shard))
    if (missing.length === 0) return
    gatherParts(
      missing.map(({ part }) => part),
      missing.map(({ whole }) => whole)
    )
    for (const shard of missing) there.add(shard)
    isGathering = true
  }
  const settle = () => {
    if (isGathering) awaitGathers()
    isGathering = false
  }
  const free = (shards: ReadonlyArray<Shard>) => {
    if (shards.length === 0) return
    releaseValues(shards.map(({ whole }) => whole))
    for (const shard of shards) there.delete(shard)
  }
  const enter = (place: Place) => {
    if (place === here) return
    const next = placeAfter(place, here, output, isDifferentiating())
    const ahead = next === undefined ? [] : at[next]!
    here = place
    free([...there].filter((shard) => !at[place]!.includes(shard) && !ahead.includes(shard)))
    gather(at[place]!)
    settle()
    gather(ahead)
  }
  const rest = () => {
    settle()
    free([...there])
    here = undefined
  }
  return {
    partOf: (parameter) => byWhole.get(parameter)?.part,
    enter,
    need: (parameter) => {
      const shard = byWhole.get(parameter)
      if (shard !== undefined && (here === undefined || !shard.places.includes(here))) enter(shard.places[0]!)
    },
    left: (place, x) => beforeBackward(x, () => enter(place)),
    rest,
    valuesOf: (parameter) => {
      const part = byWhole.get(parameter)?.part
      return part && joinedValues(part, parameter.shape, rank)
    },
    write: (parameter, values) => {
      const part = byWhole.get(parameter)!.part as Variable
      writeValues(part, ownValues(values, part, { rank }))
      rest()
    }
  }
}

/** What is made at a place, in tensors that the backward pass may come through. */
export const within = <T extends Readonly<Record<string, Tensor | undefined>>>(
  shards: Shards | undefined,
  place: Place,
  make: () => T
): T => {
  if (shards === undefined) return make()
  shards.enter(place)
  const made = make()
  return Object.fromEntries(
    Object.entries(made).map(([name, x]) => [name, x === undefined ? x : shards.left(place, x)])
  ) as T
}

/** The same at the end of a pass: nothing is kept for a backward pass where there will be none. */
export const atLast = <T extends Readonly<Record<string, Tensor | undefined>>>(
  shards: Shards | undefined,
  place: Place,
  make: () => T
): T => {
  const made = within(shards, place, make)
  if (!isDifferentiating()) shards?.rest()
  return made
}
