import type { ProcessesShape } from "@plumbline/runtime"

/** What work weighs. */
interface Weighed {
  readonly tokens: number
}

/**
 * Which process computes each micro-batch, so that all have about as many tokens: the longest first, each to whoever has
 * least so far. The same everywhere, as every process knows them all.
 */
export const ownersOf = (microBatches: ReadonlyArray<Weighed>, processes: number): ReadonlyArray<number> => {
  const loads = Array.from({ length: processes }, () => 0)
  const owners = microBatches.map(() => 0)
  const byTokens = [...microBatches.keys()].toSorted((a, b) => microBatches[b]!.tokens - microBatches[a]!.tokens)
  for (const i of byTokens) {
    const owner = loads.indexOf(Math.min(...loads))
    owners[i] = owner
    // one without tokens is work, too
    loads[owner]! += Math.max(1, microBatches[i]!.tokens)
  }
  return owners
}

/** Everyone's results in the micro-batches' order. @param own the results of this process's, in that order */
export const inOrder = <A>(
  owners: ReadonlyArray<number>,
  byProcess: ReadonlyArray<ReadonlyArray<A>>
): ReadonlyArray<A> => {
  const next = byProcess.map(() => 0)
  return owners.map((owner) => byProcess[owner]![next[owner]!++]!)
}

/** Parts of some work, dealt out: those of this process, and how everyone's results come back into the parts' order. */
export const dealt = <P extends Weighed>(parts: ReadonlyArray<P>, { rank, size }: ProcessesShape) => {
  const owners = ownersOf(parts, size)
  return {
    own: parts.filter((_, i) => owners[i] === rank),
    ordered: <A>(byProcess: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<A> => inOrder(owners, byProcess)
  }
}

/**
 * The results of work on each of `parts`, such as a reference model's pass over it: every process does its share, and has all
 * of them then. Plain data and typed arrays.
 */
export const shareWork = <U extends Weighed, A>(
  processes: ProcessesShape,
  parts: ReadonlyArray<ReadonlyArray<U>>,
  work: (units: ReadonlyArray<U>, part: number) => A
): ReadonlyArray<A> => {
  const weighed = parts.map((units, part) => ({
    units,
    part,
    tokens: units.reduce((total, { tokens }) => total + tokens, 0)
  }))
  const { ordered, own } = dealt(weighed, processes)
  return ordered(processes.exchange(own.map(({ part, units }) => work(units, part))))
}
