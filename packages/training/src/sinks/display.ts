import { liveLine, plainLine, type Snapshot } from "./progress-line.ts"

/** Where progress is shown. */
export interface ProgressOutput {
  readonly write: (text: string) => void
  /** True where a line may be drawn over itself. */
  readonly live: boolean
  readonly colour: boolean
  readonly columns: () => number
}

/** How often a log that is no terminal gets a line: the first and the last step always have one. */
export type PlainPacing = { readonly everySeconds: number } | { readonly everySteps: number }

/** Shows one task's snapshots, then its end. `now` in milliseconds. */
export interface TaskDisplay {
  readonly show: (snapshot: Snapshot, now: number) => void
  readonly end: () => void
}

export interface Display {
  readonly begin: () => TaskDisplay
  /** A line of text that stays, e.g. that a checkpoint was saved. */
  readonly note: (line: string) => void
}

/** Terminals are redrawn at most this often. */
const REDRAW_MS = 100

const CLEAR_LINE = "\r\u001b[2K"

/** One line that is drawn over itself; a task leaves its last state behind. */
export const liveDisplay = (output: ProgressOutput): Display => {
  let line = ""
  const draw = (snapshot: Snapshot) => {
    // A line as wide as the terminal would wrap on some, so the last column stays free.
    line = liveLine(snapshot, output.columns() - 1, output.colour)
    output.write(CLEAR_LINE + line)
  }
  return {
    begin: () => {
      let latest: Snapshot | undefined
      let drawnAt = Number.NEGATIVE_INFINITY
      return {
        show: (snapshot, now) => {
          latest = snapshot
          if (now - drawnAt < REDRAW_MS) return
          drawnAt = now
          draw(snapshot)
        },
        end: () => {
          if (latest === undefined) return
          draw(latest)
          output.write("\n")
          line = ""
        }
      }
    },
    note: (text) => output.write(`${line === "" ? "" : CLEAR_LINE}${text}\n${line}`)
  }
}

const isDue = (pacing: PlainPacing, last: { step: number; time: number }, step: number, now: number) =>
  "everySteps" in pacing ? step - last.step >= pacing.everySteps : now - last.time >= pacing.everySeconds * 1000

/** Lines for a log: the first step, then at the given pace, and the last step that was shown. */
export const plainDisplay = (output: ProgressOutput, pacing: PlainPacing): Display => ({
  begin: () => {
    let printed: { readonly step: number; readonly time: number } | undefined
    let pending: Snapshot | undefined
    return {
      show: (snapshot, now) => {
        pending = snapshot
        const complete = snapshot.step >= snapshot.total
        if (printed !== undefined && !complete && !isDue(pacing, printed, snapshot.step, now)) return
        output.write(`${plainLine(snapshot)}\n`)
        printed = { step: snapshot.step, time: now }
        pending = undefined
      },
      end: () => {
        if (pending !== undefined) output.write(`${plainLine(pending)}\n`)
      }
    }
  },
  note: (line) => output.write(`${line}\n`)
})
