/** What a shell reports for a process that these signals ended. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const
export type StopSignal = keyof typeof EXIT_CODES

/** npm passes on a Ctrl-C that the terminal already delivered: what comes this soon is the same request. */
const SAME_REQUEST_MS = 500

/** Calls `onFirst` for the first SIGINT or SIGTERM; a later one ends the process. @returns stops listening */
export const listenForStop = (onFirst: (signal: StopSignal) => void): (() => void) => {
  let asked: number | undefined
  const onSignal = (signal: StopSignal) => {
    const now = performance.now()
    if (asked === undefined) {
      asked = now
      onFirst(signal)
    } else if (now - asked > SAME_REQUEST_MS) {
      process.exit(EXIT_CODES[signal])
    }
  }
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
  return () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal)
}
