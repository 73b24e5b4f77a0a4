export interface QueuedPair {
  readonly pair: number
  readonly count: number
}

/** Binary heap of pairs: the most frequent first, of equals the smallest pair. */
export class PairQueue {
  private readonly heap: Array<QueuedPair> = []

  push(pair: number, count: number): void {
    const entry = { pair, count }
    let at = this.heap.length
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!precedes(entry, this.heap[above]!)) break
      this.heap[at] = this.heap[above]!
      at = above
    }
    this.heap[at] = entry
  }

  pop(): QueuedPair | undefined {
    const top = this.heap[0]
    const last = this.heap.pop()
    if (last !== undefined && this.heap.length > 0) this.sink(last)
    return top
  }

  private sink(entry: QueuedPair): void {
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= this.heap.length) break
      if (below + 1 < this.heap.length && precedes(this.heap[below + 1]!, this.heap[below]!)) below++
      if (!precedes(this.heap[below]!, entry)) break
      this.heap[at] = this.heap[below]!
      at = below
    }
    this.heap[at] = entry
  }
}

const precedes = (a: QueuedPair, b: QueuedPair): boolean =>
  a.count > b.count || (a.count === b.count && a.pair < b.pair)
