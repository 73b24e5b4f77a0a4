/** Pages of a cache, each owned by as many rows as hold it. */
export interface PagePool {
  readonly size: number
  readonly free: () => number
  /**
   * A free page; the one behind `after` where it is free, so that a row's pages lie one after the other.
   *
   * @returns undefined where all are taken
   */
  readonly take: (after: number | undefined) => number | undefined
  /** One more owner. */
  readonly share: (page: number) => void
  /** One owner less; without any the page is free. */
  readonly release: (page: number) => void
  readonly isShared: (page: number) => boolean
}

export const pagePool = (size: number): PagePool => {
  const owners = new Uint32Array(size)
  let free = size
  const claim = (page: number): number => {
    owners[page] = 1
    free -= 1
    return page
  }
  return {
    size,
    free: () => free,
    take: (after) => {
      if (free === 0) return undefined
      const next = after === undefined ? size : after + 1
      return claim(next < size && owners[next] === 0 ? next : middleOfWidestGap(owners))
    },
    share: (page) => {
      if (owners[page] === 0) throw new RangeError(`page ${page} is free and cannot be shared`)
      owners[page]! += 1
    },
    release: (page) => {
      if (owners[page] === 0) throw new RangeError(`page ${page} is free already`)
      owners[page]! -= 1
      if (owners[page] === 0) free += 1
    },
    isShared: (page) => owners[page]! > 1
  }
}

/** Where a new run of pages has most room to grow, without being in the way of those before it. */
const middleOfWidestGap = (owners: Uint32Array): number => {
  let [begin, length] = [0, 0]
  for (let page = 0; page < owners.length;) {
    const from = page
    while (page < owners.length && owners[page] === 0) page++
    if (page - from > length) [begin, length] = [from, page - from]
    page++
  }
  // an untouched pool is filled from its start
  return length === owners.length ? 0 : begin + (length >> 1)
}
