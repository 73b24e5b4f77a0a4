import { type DraftLookup, draftLookup } from "./draft-lookup.ts"

/** The drafts of one response. */
export interface RowDrafts {
  /** @returns tokens that may follow those of the prompt and the response, `most` at most */
  readonly next: (promptIds: Int32Array, ids: ReadonlyArray<number>, most: number) => ReadonlyArray<number>
  /** To be called with how many of a draft of `drafted` tokens were drawn in fact. */
  readonly learn: (right: number, drafted: number) => void
}

/** With the row's own token 4 and 16 rows of a step. */
const [FIRST, LONGEST] = [3, 15]
/** Steps without a draft at most. */
const LONGEST_PAUSE = 64

/** A draft that was right has one twice as long behind it; after a wrong one they are half as long, and after nothing right they pause. */
export const rowDrafts = (vocabulary: number): RowDrafts => {
  // a row need never ask
  let lookup: DraftLookup | undefined
  let size = FIRST
  let [pause, nextPause] = [0, 1]
  return {
    next: (promptIds, ids, most) => {
      if (pause > 0) {
        pause -= 1
        return []
      }
      lookup ??= draftLookup(vocabulary)
      for (let t = lookup.length(); t < promptIds.length; t++) lookup.push(promptIds[t]!)
      for (let t = lookup.length() - promptIds.length; t < ids.length; t++) lookup.push(ids[t]!)
      return lookup.draft(Math.min(size, most))
    },
    learn: (right, drafted) => {
      size = right === drafted ? Math.min(LONGEST, 2 * size + 1) : Math.max(1, (size - 1) / 2)
      pause = right === 0 ? nextPause : 0
      nextPause = right === 0 ? Math.min(LONGEST_PAUSE, 2 * nextPause) : 1
    }
  }
}
