/** Counts the states that a model's weights go through, so that whatever they made can be stamped with its maker. */
export interface WeightsVersion {
  /** 0 at first; an optimizer that goes on from a checkpoint sets its number of steps. */
  readonly current: () => number
  /** To be called whenever the weights have changed. */
  readonly advance: () => void
  readonly set: (version: number) => void
}

export const weightsVersion = (): WeightsVersion => {
  let version = 0
  return {
    current: () => version,
    advance: () => void (version += 1),
    set: (to) => void (version = to)
  }
}
