import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32, INT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("greedy tokens on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  /** Logits as they are stored in bfloat16, and their values. */
  const narrowed = (logits: ReadonlyArray<number>) => {
    const wide = addon.fromHost(Float32Array.from(logits), [1, logits.length], FLOAT32, "cpu")
    const narrow = addon.call(addon.operator("aten::to", "dtype"), wide, BFLOAT16) as Handle
    addon.dispose([wide])
    return { narrow, values: [...addon.toHost(narrow, new Float32Array(logits.length))] }
  }

  const greedy = (logits: ReadonlyArray<number>, stored?: Handle) => {
    const floats = (numbers: ReadonlyArray<number>, shape: ReadonlyArray<number>) =>
      addon.fromHost(Float32Array.from(numbers), [...shape], FLOAT32, "cpu")
    const results = [addon.fromHost(new Int32Array(1), [1], INT32, "cpu"), floats([0], [1]), floats([0], [1])] as const
    const given = [stored ?? floats(logits, [1, logits.length]), floats([0, 0, 0, 1, 0], [1, 5])] as const
    addon.sampleTokens(...given, null, null, null, null, null, ...results)
    const [id] = addon.toHost(results[0], new Int32Array(1))
    const [logProb] = addon.toHost(results[2], new Float32Array(1))
    addon.dispose([...given, ...results])
    return { id, logProb: logProb! }
  }

  const logProbOf = (logits: ReadonlyArray<number>, id: number) =>
    logits[id]! - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))

  // tails of eight lanes, of the 256 that are added up at a time
  it.each([1, 7, 8, 13, 256, 259, 1021])("are the first of the largest logits, of %i", (count) => {
    const logits = Array.from({ length: count }, (_, i) => Math.fround(-50 + 3 * Math.sin(i * 12.9898)))
    for (const place of [0, count >> 1, count - 1]) {
      const some = logits.with(place, -40).fill(-40, count - 1)
      const { id, logProb } = greedy(some)
      expect(id).toBe(place)
      expect(Math.abs(logProb - logProbOf(some, place))).toBeLessThan(1e-5)
    }
  })

  it.each([1, 13, 1021])("are the same of %i logits in bfloat16 as of their values", (count) => {
    const { narrow, values } = narrowed(Array.from({ length: count }, (_, i) => -50 + 3 * Math.sin(i * 12.9898)))
    const expected = greedy(values)
    expect(greedy(values, narrow)).toEqual(expected)
    expect(expected.id).toBe(values.indexOf(Math.max(...values)))
  })

  it("have a log-prob where others are impossible", () => {
    const logits = Array.from({ length: 21 }, (_, i) => (i % 2 === 0 ? -Infinity : i / 10))
    const { id, logProb } = greedy(logits)
    expect(id).toBe(19)
    expect(Math.abs(logProb - logProbOf(logits, 19))).toBeLessThan(1e-6)
  })

  it.each([0, 5, 16])("are none where logit %i of 17 is NaN", (place) => {
    const { id, logProb } = greedy(Array.from({ length: 17 }, (_, i) => i).with(place, Number.NaN))
    expect(id).toBe(-1)
    expect(logProb).toBeNaN()
  })
})
