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

/** A part of some work that a process does when it is its turn. */
export interface Turn<P> {
  readonly part: P
  /** Whether it is one of its own; else it only goes with the others, and what comes of it is to count for nothing. */
  readonly isOwn: boolean
}

/** Parts of some work, dealt out. */
export interface Dealt<P> {
  /** Those of this process. */
  readonly own: ReadonlyArray<P>
  /**
   * What it does of some of the parts, one after the other: its own of these. Where weights are in parts, a pass gathers them with
   * the others': all make as many, and who has fewer parts does the one of fewest tokens, too.
   */
  readonly turns: (isMeant?: (part: P) => boolean) => ReadonlyArray<Turn<P>>
  /** Everyone's results in the parts' order. @param byProcess those of each process's own, in that order */
  readonly ordered: <A>(byProcess: ReadonlyArray<ReadonlyArray<A>>) => ReadonlyArray<A>
}

export const dealt = <P extends Weighed>(
  parts: ReadonlyArray<P>,
  { rank, sharding, size }: ProcessesShape
): Dealt<P> => {
  const owners = ownersOf(parts, size)
  const of = (process: number) => parts.filter((_, i) => owners[i] === process)
  return {
    own: of(rank),
    turns: (isMeant = () => true) => {
      const own = of(rank).filter(isMeant)
      const longest = Math.max(...Array.from({ length: size }, (_, process) => of(process).filter(isMeant).length))
      const missing = sharding === "full" ? longest - own.length : 0
      const lightest = parts.filter(isMeant).toSorted((a, b) => a.tokens - b.tokens)[0]
      return [
        ...own.map((part) => ({ part, isOwn: true })),
        ...Array.from({ length: missing }, () => ({ part: lightest!, isOwn: false }))
      ]
    },
    ordered: (byProcess) => inOrder(owners, byProcess)
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
  const { ordered, turns } = dealt(weighed, processes)
  const own = turns().flatMap(({ isOwn, part }) => {
    const result = work(part.units, part.part)
    return isOwn ? [result] : []
  })
  return ordered(processes.exchange(own))
}
