/**
 * The token ids of a field such as `eos_token_id` in config.json or generation_config.json: one, a list of them, or none where it
 * is null or absent.
 *
 * @returns undefined where it is anything else
 */
export const tokenIdsOf = (field: unknown): ReadonlyArray<number> | undefined => {
  const ids: ReadonlyArray<unknown> = Array.isArray(field) ? field : [field ?? []].flat()
  return ids.every(Number.isInteger) ? (ids as ReadonlyArray<number>) : undefined
}

/** What such a field must be. */
export const TOKEN_IDS = "a token id, a list of them or null"
