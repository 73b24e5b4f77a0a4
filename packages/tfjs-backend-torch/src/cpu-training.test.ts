import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32, INT64 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("a training step's kernels on the CPU", () => {
  let addon: Addon
  let handles: Array<Handle> = []
  beforeAll(() => {
    addon = loadAddon()
  })
  afterEach(() => {
    addon.dispose(handles)
    handles = []
  })

  const made = (handle: Handle): Handle => {
    handles.push(handle)
    return handle
  }
  const floats = (values: ReadonlyArray<number>, shape: ReadonlyArray<number> = [values.length], type = FLOAT32) => {
    const exact = made(addon.fromHost(Float32Array.from(values), [...shape], FLOAT32, "cpu"))
    return type === FLOAT32 ? exact : made(addon.call(addon.operator("aten::to", "dtype"), exact, type) as Handle)
  }
  const read = (handle: Handle): Array<number> => {
    const size = addon.shape(handle).reduce((product, length) => product * length, 1)
    const exact = made(addon.call(addon.operator("aten::to", "dtype"), handle, FLOAT32) as Handle)
    return [...addon.toHost(exact, new Float32Array(size))]
  }
  /** Values that bfloat16 holds exactly, so that both types are given the same. */
  const short = (count: number, seed: number) =>
    Array.from({ length: count }, (_, i) => Math.round(64 * Math.sin(12.9898 * i + seed)) / 16)
  const types = [
    ["float32", FLOAT32, 2e-6],
    ["bfloat16", BFLOAT16, 4e-3]
  ] as const

  const rowOf = (logits: ReadonlyArray<number>, target: number, temperature: number) => {
    const values = logits.map((logit) => logit / temperature)
    const top = Math.max(...values)
    const normalizer = top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0))
    const probabilities = values.map((value) => Math.exp(value - normalizer))
    const entropy = -probabilities.reduce((sum, p) => sum + (p === 0 ? 0 : p * Math.log(p)), 0)
    const slopes = probabilities.map((p, i) => ((i === target ? 1 : 0) - p) / temperature)
    return {
      lines: [values[target]! - normalizer, entropy, values.indexOf(top) === target ? 1 : 0, normalizer],
      slopes
    }
  }

  const logitRows = (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    targets: ReadonlyArray<number>,
    {
      factors,
      temperature = 1,
      type = FLOAT32,
      withSlopes = true
    }: {
      readonly factors?: ReadonlyArray<number>
      readonly temperature?: number
      readonly type?: number
      readonly withSlopes?: boolean
    } = {}
  ) => {
    const logits = floats(rows.flat(), [rows.length, rows[0]!.length], type)
    const ids = made(addon.fromHost(BigInt64Array.from(targets, BigInt), [targets.length], INT64, "cpu"))
    const lines = [0, 1, 2, 3].map(() => floats(targets.map(() => 7))) as [Handle, Handle, Handle, Handle]
    const scales = factors === undefined ? null : floats(factors)
    addon.logitRows(logits, ids, ...lines, scales, temperature, withSlopes)
    return { lines: lines.map(read), logits: read(logits) }
  }
  const expectNear = (found: ReadonlyArray<number>, wanted: ReadonlyArray<number>, gap: number) => {
    expect(found.length).toBe(wanted.length)
    found.forEach((value, i) => expect(Math.abs(value - wanted[i]!), `${i}: ${value}`).toBeLessThan(gap))
  }

  // tails of eight lanes, of the 512 that are added up at a time
  it.each(
    types.flatMap(([name, type, gap]) => [1, 7, 8, 13, 520, 1021].map((count) => [name, count, type, gap] as const))
  )("softmax of %s rows of %i, and its slopes", (_, count, type, gap) => {
    const rows = [0, 1, 2].map((seed) => short(count, seed))
    const targets = [0, count >> 1, count - 1]
    const { lines, logits } = logitRows(rows, targets, { type, temperature: 0.7, factors: [1, -2, 0.5] })
    rows.forEach((row, r) => {
      const wanted = rowOf(row, targets[r]!, 0.7)
      expectNear(
        lines.map((line) => line[r]!),
        wanted.lines,
        4e-6
      )
      const slopes = wanted.slopes.map((slope) => slope * [1, -2, 0.5][r]!)
      expectNear(logits.slice(r * count, (r + 1) * count), slopes, gap * 3)
    })
  })

  it("leaves the logits as they are where no slopes are asked for", () => {
    const row = short(21, 3)
    expect(logitRows([row], [4], { withSlopes: false }).logits).toEqual(row.map(Math.fround))
  })

  it("takes the first of equal logits for the best, and impossible ones for no share", () => {
    const row = [-Infinity, 2, 2, -Infinity, 1]
    const { lines, logits } = logitRows([row, row, row], [1, 2, 0])
    expect(lines[2]).toEqual([1, 0, 0])
    expect(lines[0]![2]).toBe(-Infinity)
    expectNear(
      lines[1]!,
      [0, 0, 0].map(() => rowOf(row, 1, 1).lines[1]!),
      1e-6
    )
    expect(logits.filter((_, i) => i % 5 === 3)).toEqual([-0, -0, -0])
  })

  it.each([0, 8, 16])("has no softmax where logit %i of 17 is NaN", (place) => {
    const { lines, logits } = logitRows([short(17, 0).with(place, Number.NaN)], [3])
    expect([lines[0], lines[1], lines[3]].flat().every(Number.isNaN)).toBe(true)
    expect(lines[2]).toEqual([0])
    expect(logits.every(Number.isNaN)).toBe(true)
  })

  it("refuses a target outside the vocabulary", () => {
    expect(() => logitRows([[1, 2]], [2])).toThrow(/target lies outside the vocabulary/)
    expect(() => logitRows([[1, 2]], [-1])).toThrow(/target lies outside the vocabulary/)
  })

  it.each(types)("AdamW with gradients of %s, and the copy that products read", (_, type) => {
    const count = 19
    const [p, g, m, v] = [short(count, 1), short(count, 2), short(count, 3), short(count, 4).map(Math.abs)]
    const tensors = [p, g, m, v].map((values, i) => floats(values!, [count], i === 1 ? type : FLOAT32))
    const [parameter, gradient, first, second] = tensors as [Handle, Handle, Handle, Handle]
    const copy = floats(short(count, 5), [count], BFLOAT16)
    const [lists, decay, rate] = [[[parameter], [gradient], [first], [second], [copy]] as const, 0.99, 1e-2]
    addon.adamw(...lists, [decay], [rate], 0.9, 0.999, 1e-8, 1.5, 0.25)
    const slopes = g!.map((slope) => slope * 0.25)
    const means = m!.map((mean, i) => 0.9 * mean + 0.1 * slopes[i]!)
    const squares = v!.map((square, i) => 0.999 * square + 0.001 * slopes[i]! ** 2)
    const moved = p!.map((value, i) => value * decay - (rate * means[i]!) / (1.5 * Math.sqrt(squares[i]!) + 1e-8))
    expectNear(read(first), means, 1e-6)
    expectNear(read(second), squares, 1e-6)
    expectNear(read(parameter), moved, 1e-6)
    // what libtorch rounds the new values to
    expect(read(copy)).toEqual(
      read(made(addon.call(addon.operator("aten::to", "dtype"), parameter, BFLOAT16) as Handle))
    )
  })

  it("begins the moments at 1 − β to float32's last digits, which β in float32 has not", () => {
    const [gradient, parameter, first, second] = [floats([3]), floats([0]), floats([0]), floats([0])]
    addon.adamw([parameter], [gradient], [first], [second], [null], [1], [1], 0.9, 0.999, 0, 1, 1)
    expect(Math.abs(read(first)[0]! / (0.1 * 3) - 1)).toBeLessThan(2e-7)
    expect(Math.abs(read(second)[0]! / (0.001 * 9) - 1)).toBeLessThan(2e-7)
  })

  it("refuses lists of different lengths, and tensors of other sizes", () => {
    const [one, two] = [floats([1]), floats([1, 2])]
    const step = (lists: [Array<Handle>, Array<Handle>, Array<Handle>, Array<Handle>, Array<Handle | null>]) =>
      addon.adamw(...lists, [1], [0], 0.9, 0.999, 1e-8, 1, 1)
    expect(() => step([[one], [], [one], [one], [null]])).toThrow(/as many of each/)
    expect(() => step([[one], [two], [one], [one], [null]])).toThrow(/tensors of one size/)
  })

  it.each(types)("turns heads of %s rows at any distance, and back", (_, type, gap) => {
    const [tokens, heads, width, half] = [3, 2, 9, 3]
    const wide = floats(short(tokens * 24, 1), [tokens, 24], type)
    const x = made(addon.call(addon.operator("aten::narrow", ""), wide, 1, 4, heads * width) as Handle)
    const angles = Array.from({ length: tokens * half }, (_, i) => i * 0.37)
    const [cos, sin] = [floats(angles.map(Math.cos), [tokens, half]), floats(angles.map(Math.sin), [tokens, half])]
    const [there, back] = [0, 1].map(() => floats(short(tokens * heads * width, 9), [tokens, heads * width], type))
    addon.turnHeads(x, cos, sin, 1, width, there!)
    addon.turnHeads(there!, cos, sin, -1, width, back!)
    const before = read(made(addon.call(addon.operator("aten::contiguous", ""), x) as Handle))
    const turned = before.map((value, i) => {
      const [token, place] = [Math.floor(i / (heads * width)), i % width]
      if (place >= 2 * half) return value
      const [isSecond, angle] = [place >= half, angles[token * half + (place % half)]!]
      const other = before[isSecond ? i - half : i + half]!
      return value * Math.cos(angle) + (isSecond ? other : -other) * Math.sin(angle)
    })
    expectNear(read(there!), turned, gap * 8)
    expectNear(read(back!), before, gap * 16)
    expect(() => addon.turnHeads(x, cos, sin, 1, 5, there!)).toThrow(/heads are turned/)
  })

  it.each(types)("gates %s by silu, and its gradients", (_, type, gap) => {
    const [rows, width] = [3, 19]
    const count = rows * width
    const [gate, up, dy] = [short(count, 1), short(count, 2), short(count, 3)]
    const [g, u, d] = [gate, up, dy].map((values) => floats(values, [count], type)) as [Handle, Handle, Handle]
    const [out, dgate, dup] = [0, 0, 0].map(() => floats(short(count, 9), [count], type)) as [Handle, Handle, Handle]
    /** Rows of a matrix that has other columns, too. */
    const columns = (values: ReadonlyArray<number>, first: number): Handle => {
      const wider = width + 2 * first
      const all = Array.from({ length: rows * wider }, (__, i) => {
        const column = (i % wider) - first
        return column < 0 || column >= width ? 7 : values[Math.floor(i / wider) * width + column]!
      })
      const whole = floats(all, [rows, wider], type)
      return made(addon.call(addon.operator("aten::narrow", ""), whole, 1, first, width) as Handle)
    }
    addon.siluGate(columns(gate, 3), columns(up, 5), out)
    addon.siluGateGradient(g, u, d, dgate, dup)
    const sigmoid = gate.map((x) => 1 / (1 + Math.exp(-x)))
    const wanted = gate.map((x, i) => x * sigmoid[i]! * up[i]!)
    expectNear(read(out), wanted, gap * 16)
    expectNear(
      read(dup),
      gate.map((x, i) => x * sigmoid[i]! * dy[i]!),
      gap * 16
    )
    const slopes = gate.map((x, i) => dy[i]! * up[i]! * sigmoid[i]! * (1 + x * (1 - sigmoid[i]!)))
    expectNear(read(dgate), slopes, gap * 16)
  })

  it.each(types)("gates %s to the same bits however many lie in a row", (_, type) => {
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e30, -1e30, 88.7, -88.7]
    const numbers = [[...odd, ...short(37, 1), ...odd], short(53, 2)] as const
    const gated = (width: number) => {
      const [gate, up] = numbers.map((values) => floats(values, [53 / width, width], type)) as [Handle, Handle]
      const out = floats(short(53, 9), [53], type)
      addon.siluGate(gate, up, out)
      return read(out)
    }
    const alone = gated(1)
    expect(gated(53)).toEqual(alone)
    expect(alone.map(Number.isNaN).filter(Boolean)).toHaveLength(2)
  })

  it.each(types)("norms %s rows of a sum as it is stored", (_, type, gap) => {
    const [rows, width] = [3, 19]
    const size = rows * width
    const [x, addend] = [short(size, 1), short(size, 2)].map((values) => floats(values, [rows, width], type))
    const weight = short(width, 3)
    const [sum, out] = [0, 0].map(() => floats(short(size, 9), [rows, width], type)) as [Handle, Handle]
    addon.rmsNorm(x!, addend!, floats(weight), 1e-5, sum, out)
    const stored = read(sum)
    expectNear(
      stored,
      short(size, 1).map((value, i) => value + short(size, 2)[i]!),
      gap * 8
    )
    const wanted = stored.map((value, i) => {
      const row = stored.slice(i - (i % width), i - (i % width) + width)
      const square = row.reduce((total, each) => total + each * each, 0) / width
      return (value / Math.sqrt(square + 1e-5)) * weight[i % width]!
    })
    expectNear(read(out), wanted, gap * 8)
  })

  it("adds up squares of both types in float64", () => {
    const values = short(70_001, 2)
    const wanted = values.reduce((sum, value) => sum + value * value, 0)
    for (const [, type] of types) {
      const x = floats(values, [values.length], type)
      expect(Math.abs(addon.squareSum(x, x) / (2 * wanted) - 1)).toBeLessThan(1e-7)
    }
  })
})
