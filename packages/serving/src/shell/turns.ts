import { Effect } from "effect"

/** The event loop's turns, shared by all who have more to do than others can wait for. */
export interface Turns {
  /** Waits, in the order of asking, for a turn in which something may still be done. */
  readonly take: Effect.Effect<void>
  /** Counts what was done in this turn. @param characters of text that was made */
  readonly spend: (characters: number) => void
}

/** Characters that are made in one go; a millisecond or two. */
export const PIECE = 64 * 1024
/** Pieces of a turn: 5 to 10 ms, then sockets, the engine's next step and other requests have theirs. */
const PIECES = 2

export const makeTurns = (): Turns => {
  let spent = 0
  let ticking = false
  const waiting = new Set<() => void>()
  const tick = () => {
    ticking = false
    spent = 0
    let released = 0
    for (const release of waiting) {
      if (released++ === PIECES || isOver()) break
      waiting.delete(release)
      release()
    }
    if (waiting.size > 0) ensureTick()
  }
  const ensureTick = () => {
    if (!ticking) setImmediate(tick)
    ticking = true
  }
  const isOver = () => spent >= PIECES * PIECE
  return {
    take: Effect.suspend(() => {
      if (waiting.size === 0 && !isOver()) return Effect.void
      return Effect.callback<void>((resume) => {
        const release = () => resume(Effect.void)
        waiting.add(release)
        ensureTick()
        return Effect.sync(() => void waiting.delete(release))
      })
    }),
    spend: (characters) => {
      spent += characters
      ensureTick()
    }
  }
}

/** Those of this process, which has one event loop. */
export const turns: Turns = makeTurns()
