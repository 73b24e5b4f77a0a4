/** Pages of a cache, each owned by as many rows as hold it. One that nobody owns is free; if it has a name it can be found until it is taken. */
export interface PagePool {
  readonly size: number
  readonly free: () => number
  /**
   * A free page, without a name while there are such; the one behind `after` where it is free, so that a row's pages lie one
   * after the other. Of those with names the one that was free the longest.
   *
   * @returns undefined where all are taken
   */
  readonly take: (after: number | undefined) => number | undefined
  /** One more owner; the first one again of a free page that has a name. */
  readonly share: (page: number) => void
  /** One owner less; without any the page is free. */
  readonly release: (page: number) => void
  readonly isShared: (page: number) => boolean
  /** Says what an owned page has in it; nothing is done where a page of this name is there, or this one has another. */
  readonly name: (page: number, name: string) => void
  readonly find: (name: string) => number | undefined
}

export const pagePool = (size: number): PagePool => {
  const owners = new Uint32Array(size)
  const names = new Map<number, string>()
  const named = new Map<string, number>()
  /** Free pages that have names, the longest free first. */
  const kept = new Set<number>()
  let free = size
  const isEmpty = (page: number): boolean => owners[page] === 0 && !kept.has(page)
  const claim = (page: number): number => {
    owners[page] = 1
    free -= 1
    kept.delete(page)
    return page
  }
  const forget = (page: number): number => {
    named.delete(names.get(page)!)
    names.delete(page)
    return page
  }
  return {
    size,
    free: () => free,
    take: (after) => {
      if (free === 0) return undefined
      const [oldest] = kept
      if (kept.size === free) return claim(forget(oldest!))
      const next = after === undefined ? size : after + 1
      return claim(next < size && isEmpty(next) ? next : middleOfWidestGap(size, isEmpty))
    },
    share: (page) => {
      if (owners[page]! > 0) owners[page]! += 1
      else if (kept.has(page)) claim(page)
      else throw new RangeError(`page ${page} is free and cannot be shared`)
    },
    release: (page) => {
      if (owners[page] === 0) throw new RangeError(`page ${page} is free already`)
      owners[page]! -= 1
      if (owners[page]! > 0) return
      free += 1
      if (names.has(page)) kept.add(page)
    },
    isShared: (page) => owners[page]! > 1,
    name: (page, name) => {
      if (owners[page] === 0) throw new RangeError(`page ${page} is free and cannot be named`)
      if (named.has(name) || names.has(page)) return
      named.set(name, page)
      names.set(page, name)
    },
    find: (name) => named.get(name)
  }
}

/** Where a new run of pages has most room to grow, without being in the way of those before it. */
const middleOfWidestGap = (size: number, isEmpty: (page: number) => boolean): number => {
  let [begin, length] = [0, 0]
  for (let page = 0; page < size;) {
    const from = page
    while (page < size && isEmpty(page)) page++
    if (page - from > length) [begin, length] = [from, page - from]
    page++
  }
  // an untouched pool is filled from its start
  return length === size ? 0 : begin + (length >> 1)
}
