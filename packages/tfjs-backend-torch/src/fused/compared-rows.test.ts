import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { aten, inScope } from "../aten.ts"
import { TorchBackend } from "../backend.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import { KernelScope } from "../kernel.ts"
import { BFLOAT16 } from "../scalar-type.ts"
import { compareRowsOnce, waves } from "./compared-rows.ts"

const [narrow, scaled] = [aten("narrow"), aten("mul.Scalar")]

describe.skipIf(addonPath() === undefined)("rows compared", () => {
  let scope: KernelScope
  beforeAll(() => {
    scope = new KernelScope(new TorchBackend({ device: "cpu", storage: "bfloat16" }))
  })
  const shape = { inner: 8, outputs: 8, compared: [1, 5, 16, 99], most: 16 }

  /** Rows as they are, but for those of one number of rows; and how often each number was asked for. */
  const products = (odd?: number) => {
    const asked: Array<number> = []
    const multiply = () => {
      const rows = waves([16, 8], 0.71, BFLOAT16, scope)
      return (count: number) => {
        asked.push(count)
        return scaled(narrow(rows, 0, 0, count), count === odd ? 1.5 : 1)
      }
    }
    return { asked, multiply }
  }

  it("are those of fewer rows than the most, once for each name", () => {
    const { asked, multiply } = products()
    for (const name of ["even", "even"]) inScope(() => compareRowsOnce({ ...shape, name }, multiply, scope))
    expect(asked).toEqual([16, 1, 5])
  })

  it("say where their bits differ, each time", () => {
    const { asked, multiply } = products(5)
    const compare = () => inScope(() => compareRowsOnce({ ...shape, name: "odd" }, multiply, scope))
    for (let time = 0; time < 2; time++) {
      expect(compare).toThrow(BatchInvarianceUnavailable)
      expect(compare).toThrow("products of 8 with 8 features come out differently for 5 and 16 rows")
    }
    expect(asked).toHaveLength(4 * 3)
  })
})
