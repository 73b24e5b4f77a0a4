import { Processes } from "@plumbline/runtime"
import { Effect } from "effect"
import { serialize } from "node:v8"
import { crc32 } from "node:zlib"
import { ProcessesDiverged } from "../errors.ts"
import type { MicroBatch } from "../objective.ts"

/** Every process makes a step's experience itself and computes a share of it: it must be the same everywhere. */
export const sameExperience = Effect.fnUntraced(function* (step: number, microBatches: ReadonlyArray<MicroBatch>) {
  const { exchange, size } = yield* Processes
  if (size === 1) return
  const sums = exchange(crc32(serialize(microBatches)))
  const others = [...sums.keys()].filter((rank) => sums[rank] !== sums[0])
  if (others.length > 0) return yield* new ProcessesDiverged({ step, processes: others })
})
