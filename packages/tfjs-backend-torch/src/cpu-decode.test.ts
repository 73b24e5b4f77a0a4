import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32 } from "./scalar-type.ts"
import { attended as attendedBy, expectMeans, type PagedCase } from "./testing/paged-case.ts"

describe.skipIf(addonPath() === undefined)("attention of one new token a row on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })
  const attended = (of: PagedCase, type = FLOAT32) => attendedBy(addon, addon.pagedDecode, of, type)

  // tails of fours of keys, of pages, of eights of a head's numbers, and of 64 of them
  const lengths = [1, 2, 16, 17, 37, 64, 5]
  const rows = { lengths, queries: lengths.map(() => 1) }
  const cases: ReadonlyArray<PagedCase> = [
    { name: "heads of 64", keyHeads: 4, group: 1, width: 64, ...rows, pageSize: 16 },
    { name: "groups of 3 on heads of 80", keyHeads: 2, group: 3, width: 80, ...rows, pageSize: 16 },
    { name: "heads of 20 in pages of 3", keyHeads: 3, group: 2, width: 20, ...rows, pageSize: 3 },
    { name: "a window", keyHeads: 2, group: 2, width: 24, ...rows, pageSize: 16, window: 11 },
    { name: "a soft cap", keyHeads: 2, group: 1, width: 16, ...rows, pageSize: 4, softCap: 0.5 }
  ]

  it.each(cases)("is the weighted mean of values: $name", (of) => expectMeans(attended(of), of, 0))

  it.each(cases)("rounds nothing but what is stored in bfloat16: $name", (of) => {
    // half of the last of 8 bits
    expectMeans(attended(of, BFLOAT16), of, 2 ** -8)
  })

  it("is the same to the bit in pages of any size, beside any rows", () => {
    const [all] = cases as [PagedCase]
    const whole = attended(all)
    for (const pageSize of [1, 3, 7, 64]) expect(attended({ ...all, pageSize })).toEqual(whole)
    const step = all.keyHeads * all.width
    const some = attended({ ...all, lengths: lengths.slice(0, 3), queries: [1, 1, 1] })
    expect(some).toEqual(whole.slice(0, 3 * step))
  })
})
