import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32 } from "./scalar-type.ts"
import { attended as attendedBy, expectMeans, type PagedCase } from "./testing/paged-case.ts"

// AVX-512 where there is, AVX2
describe.skipIf(addonPath() === undefined).each([16, 8])(
  "attention of several new tokens a row on %s lanes",
  (lanes) => {
    let addon: Addon
    beforeAll(() => {
      addon = loadAddon()
    })
    const attended = (of: PagedCase, type = FLOAT32) =>
      attendedBy(addon, (...call) => addon.pagedPrompts(...call, lanes), of, type)

    // tails of sixes of queries, of panels and blocks of keys, of pieces of a row, and of a head's registers
    const rows = { lengths: [2, 3, 8, 37, 64, 50, 300, 9], queries: [2, 3, 8, 37, 7, 13, 131, 2] }
    const few = { lengths: [5, 33, 270], queries: [5, 12, 9] }
    const cases: ReadonlyArray<PagedCase> = [
      { name: "heads of 64", keyHeads: 2, group: 1, width: 64, ...rows, pageSize: 16 },
      { name: "groups of 3 on heads of 80", keyHeads: 2, group: 3, width: 80, ...few, pageSize: 16 },
      { name: "heads of 20 in pages of 3", keyHeads: 3, group: 2, width: 20, ...few, pageSize: 3 },
      { name: "a window", keyHeads: 2, group: 2, width: 24, ...rows, pageSize: 16, window: 11 },
      { name: "a window over more than a block", keyHeads: 1, group: 1, width: 16, ...rows, pageSize: 16, window: 290 },
      { name: "a soft cap", keyHeads: 2, group: 1, width: 16, ...few, pageSize: 4, softCap: 0.5 }
    ]

    it.each(cases)("is the weighted mean of values: $name", (of) => expectMeans(attended(of), of, 0))

    it.each(cases)("rounds nothing but what is stored in bfloat16: $name", (of) => {
      // half of the last of 8 bits
      expectMeans(attended(of, BFLOAT16), of, 2 ** -8)
    })

    it.each(cases)("is the same to the bit whichever tokens of a row are new, in pages of any size: $name", (of) => {
      const { group, keyHeads, lengths, queries, width } = of
      const step = keyHeads * group * width
      const whole = attended(of)
      for (const pageSize of [1, 7, 64]) expect(attended({ ...of, pageSize })).toEqual(whole)
      // two thirds of each row's last tokens, at least two
      const fewer = queries.map((count) => Math.max(2, Math.ceil((2 * count) / 3)))
      let end = 0
      const same = queries.flatMap((count, row) => {
        end += count
        return Array.from(whole.subarray((end - fewer[row]!) * step, end * step))
      })
      expect([...attended({ ...of, queries: fewer })]).toEqual(same)
      const last = lengths.length - 1
      // the values of a token depend on its row's number
      const alone = { ...of, lengths: [...lengths.slice(0, last).map(() => 1), lengths[last]!] }
      const own = attended({ ...alone, queries: [...queries.slice(0, last).map(() => 0), queries[last]!] })
      expect(own).toEqual(whole.slice(-queries[last]! * step))
    })

    it("leaves rows of one query and of none as they are", () => {
      const of = { keyHeads: 1, group: 1, width: 8, lengths: [4, 5, 6], queries: [1, 3, 0], pageSize: 2, name: "" }
      const out = attended(of)
      expect(out.slice(0, 8)).toEqual(new Float32Array(8).fill(Number.NaN))
      expect(out.slice(8).every(Number.isFinite)).toBe(true)
    })
  }
)
