import { encodeSafetensors } from "@plumbline/models"
import { type Tensor, tf } from "@plumbline/runtime"
import { Effect, Schema } from "effect"
import type { RemoteOptions } from "./options.ts"
import { jsonOf, persistently, type Send } from "./send.ts"
import { Unanswered } from "./unanswered.ts"
import { TakenWeights, WEIGHTS_PATH } from "./weights-protocol.ts"

/** Bytes of a request, unless one tensor alone has more. */
const PART_BYTES = 2 ** 28

/** Values of tensors as they are now, whatever becomes of the tensors; those that were not sent are let go with the scope. */
export const snapshot = (tensors: ReadonlyMap<string, Tensor>) =>
  Effect.acquireRelease(
    Effect.sync(() => new Map([...tensors].map(([name, tensor]) => [name, tf.keep(tf.clone(tensor))] as const))),
    (kept) => Effect.sync(() => tf.dispose([...kept.values()]))
  )

export interface Sending {
  readonly version: number
  readonly run: string
  readonly retries: Pick<RemoteOptions, "maxRetries" | "retryDelay">
}

/** Sends tensors, a part after the other, and lets go of what was sent. */
export const sendWeights = Effect.fnUntraced(function* (
  send: Send,
  tensors: Map<string, Tensor>,
  { retries, run, version }: Sending
) {
  const path = `${WEIGHTS_PATH}?version=${version}&run=${run}`
  let missing: number | undefined
  for (const part of partsOf(tensors)) {
    const read = yield* Effect.forEach(part, ([name, tensor]) =>
      Effect.map(
        Effect.promise(() => tensor.data()),
        (values) => ({ name, shape: tensor.shape, values: values as Float32Array })
      )
    )
    for (const [name, tensor] of part) {
      tensors.delete(name)
      tensor.dispose()
    }
    const body = encodeSafetensors(read)
    const answer = yield* persistently(Effect.scoped(Effect.flatMap(send(path, body), jsonOf)), retries)
    missing = Schema.is(TakenWeights)(answer) ? answer.missing : undefined
  }
  if (missing === 0) return
  const reason =
    missing === undefined ? "it answered in no shape that is known" : `it still waits for ${missing} tensors`
  return yield* new Unanswered({ reason, transient: false })
})

/** Tensors in their order, each part as full as it may be. */
const partsOf = (tensors: ReadonlyMap<string, Tensor>) => {
  const parts: Array<Array<readonly [string, Tensor]>> = [[]]
  let filled = 0
  for (const entry of tensors) {
    const bytes = entry[1].size * Float32Array.BYTES_PER_ELEMENT
    if (filled > 0 && filled + bytes > PART_BYTES) {
      parts.push([])
      filled = 0
    }
    parts.at(-1)!.push(entry)
    filled += bytes
  }
  return parts
}
