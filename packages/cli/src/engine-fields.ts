import { option, optional, PositiveInt } from "@plumbline/data"

/** Room that the engine of a command takes. */
export const engineFields = {
  maxRows: option(PositiveInt, 64, "responses written at the same time"),
  cacheTokens: optional(PositiveInt, "tokens that the key-value cache holds (default: what max-rows contexts take)")
} as const
