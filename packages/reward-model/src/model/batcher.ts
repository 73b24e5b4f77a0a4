import { Clock, Deferred, Effect, Option, Queue, type Scope, Semaphore } from "effect"

export interface BatcherOptions<Item, Out, E> {
  readonly sizeOf: (item: Item) => number
  /** Most that the items of a batch weigh together; a heavier one goes alone. */
  readonly budget: number
  /** Milliseconds that the first item of a batch waits for others. */
  readonly delay: number
  /** Batches that run at the same time. */
  readonly parallel: number
  /** What comes of a batch, in its order. */
  readonly run: (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<Out>, E>
}

export interface Batcher<Item, Out, E> {
  /** Waits for its batch. Interrupted before that runs, it is left out. */
  readonly submit: (item: Item) => Effect.Effect<Out, E>
  readonly waiting: () => number
}

interface Entry<Item, Out, E> {
  readonly item: Item
  readonly done: Deferred.Deferred<Out, E>
  gone: boolean
}

/** Work of many callers in batches: a batch starts once it is full, or its first item has waited for `delay`. */
export const batcher = <Item, Out, E>(
  options: BatcherOptions<Item, Out, E>
): Effect.Effect<Batcher<Item, Out, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<Entry<Item, Out, E>>()
    const turns = yield* Semaphore.make(options.parallel)
    let waiting = 0
    const gather = gatherer(queue, options)
    yield* Effect.forever(
      Effect.gen(function* () {
        // a turn first: whoever comes while all run is in the next batch
        yield* Semaphore.take(turns, 1)
        const batch = yield* gather
        waiting -= batch.length
        yield* runBatch(batch, options).pipe(Effect.ensuring(Semaphore.release(turns, 1)), Effect.forkChild)
      })
    ).pipe(Effect.forkScoped)
    return {
      waiting: () => waiting,
      submit: (item) =>
        Effect.gen(function* () {
          const entry: Entry<Item, Out, E> = { item, done: yield* Deferred.make<Out, E>(), gone: false }
          waiting += 1
          yield* Queue.offer(queue, entry)
          return yield* Effect.onInterrupt(Deferred.await(entry.done), () =>
            Effect.sync(() => void (entry.gone = true))
          )
        })
    }
  })

/** The next batch; an item that no longer fits begins the one after. */
const gatherer = <Item, Out, E>(
  queue: Queue.Queue<Entry<Item, Out, E>>,
  { budget, delay, sizeOf }: BatcherOptions<Item, Out, E>
): Effect.Effect<ReadonlyArray<Entry<Item, Out, E>>> => {
  let kept: Entry<Item, Out, E> | undefined
  return Effect.gen(function* () {
    const first = kept ?? (yield* Queue.take(queue))
    kept = undefined
    const batch = [first]
    let size = sizeOf(first.item)
    const until = (yield* Clock.currentTimeMillis) + delay
    while (size < budget) {
      const left = until - (yield* Clock.currentTimeMillis)
      const next = yield* left > 0 ? Effect.timeoutOption(Queue.take(queue), left) : Queue.poll(queue)
      if (Option.isNone(next)) break
      if (size + sizeOf(next.value.item) > budget) {
        kept = next.value
        break
      }
      batch.push(next.value)
      size += sizeOf(next.value.item)
    }
    return batch
  })
}

const runBatch = <Item, Out, E>(
  batch: ReadonlyArray<Entry<Item, Out, E>>,
  { run }: BatcherOptions<Item, Out, E>
): Effect.Effect<void> => {
  const wanted = batch.filter(({ gone }) => !gone)
  if (wanted.length === 0) return Effect.void
  return run(wanted.map(({ item }) => item)).pipe(
    Effect.matchCauseEffect({
      onSuccess: (results) => Effect.forEach(wanted, ({ done }, i) => Deferred.succeed(done, results[i]!)),
      onFailure: (cause) => Effect.forEach(wanted, ({ done }) => Deferred.failCause(done, cause))
    }),
    Effect.asVoid
  )
}
