import { expect, it } from "vitest"
import { pagePool } from "./page-pool.ts"

it("finds a page by its name while it is owned, and when it is free until it is taken", () => {
  const pool = pagePool(3)
  const page = pool.take(undefined)!
  pool.name(page, "a")
  expect(pool.find("a")).toBe(page)
  pool.release(page)
  expect([pool.free(), pool.find("a")]).toEqual([3, page])
  pool.share(page)
  expect([pool.free(), pool.isShared(page)]).toEqual([2, false])
  pool.share(page)
  expect(pool.isShared(page)).toBe(true)
  for (let i = 0; i < 2; i++) pool.release(page)
  const others = [pool.take(undefined)!, pool.take(undefined)!]
  expect(others).not.toContain(page)
  expect(pool.find("a")).toBe(page)
  expect(pool.take(undefined)).toBe(page)
  expect(pool.find("a")).toBe(undefined)
  expect(pool.take(undefined)).toBe(undefined)
  // it is another page's now
  for (const each of [page, ...others]) pool.release(each)
  expect(() => pool.share(page)).toThrow(/is free and cannot be shared/)
})

it("takes the page that was free the longest, and of those in use none", () => {
  const pool = pagePool(4)
  const pages = [0, 1, 2, 3].map((i) => {
    const page = pool.take(undefined)!
    pool.name(page, `${i}`)
    return page
  })
  for (const i of [2, 0, 3]) pool.release(pages[i]!)
  pool.share(pages[0]!)
  expect([pool.take(pages[1]), pool.take(pages[1]), pool.take(undefined)]).toEqual([pages[2], pages[3], undefined])
  expect(["0", "1", "2", "3"].map(pool.find)).toEqual([pages[0], pages[1], undefined, undefined])
})

it("has one page of a name, and one name of a page", () => {
  const pool = pagePool(2)
  const [first, second] = [pool.take(undefined)!, pool.take(undefined)!]
  pool.name(first, "a")
  pool.name(second, "a")
  pool.name(first, "b")
  expect([pool.find("a"), pool.find("b")]).toEqual([first, undefined])
  pool.release(second)
  expect(() => pool.name(second, "b")).toThrow(/is free and cannot be named/)
  expect(() => pool.release(second)).toThrow(/free already/)
})
