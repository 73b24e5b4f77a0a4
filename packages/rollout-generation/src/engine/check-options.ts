import type { EngineOptions } from "./engine.ts"

/** Options that count something, and the least that each can be. */
const COUNTS = {
  maxRows: 1,
  maxBatchTokens: 1,
  pageSize: 1,
  cacheTokens: 1,
  queueRequests: 1,
  draftRows: 0
} as const

/** Without rows, room or places requests would wait for ever. @throws RangeError where a count is none */
export const checkOptions = (options: EngineOptions): void => {
  for (const [name, least] of Object.entries(COUNTS)) {
    const count = options[name as keyof typeof COUNTS]
    if (count === undefined || (Number.isSafeInteger(count) && count >= least)) continue
    throw new RangeError(`an engine's ${name} is ${count}, not a whole number from ${least}`)
  }
}
