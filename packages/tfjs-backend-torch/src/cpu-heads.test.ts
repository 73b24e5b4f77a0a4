import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, isTorchError, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32, INT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("heads of new tokens on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  const [TOKENS, HEADS, KEY_HEADS, WIDTH, HALF, POSITIONS, SLOTS] = [3, 4, 2, 20, 9, 6, 8]
  const places = Int32Array.of(5, 0, 2)
  const slots = Int32Array.of(6, -1, 3)
  const types = { float32: FLOAT32, bfloat16: BFLOAT16 } as const
  type Name = keyof typeof types

  // seven bits, which bfloat16 holds exactly
  const value = (seed: number, i: number) => Math.round(Math.sin(i * 12.9898 + seed) * 128) / 128
  const call = (name: string, overload: string, ...args: ReadonlyArray<unknown>) =>
    addon.call(addon.operator(`aten::${name}`, overload), ...(args as ReadonlyArray<never>)) as Handle
  const floats = (numbers: ReadonlyArray<number>, shape: ReadonlyArray<number>, name: Name): Handle =>
    call("to", "dtype", addon.fromHost(Float32Array.from(numbers), [...shape], FLOAT32, "cpu"), types[name])
  const made = (count: number, seed: number) => Array.from({ length: count }, (_, i) => value(seed, i))
  const ints = (numbers: Int32Array) => addon.fromHost(numbers, [numbers.length], INT32, "cpu")
  const read = (handle: Handle, count: number) => addon.toHost(handle, new Float32Array(count))
  /** Nearest in a type. */
  const rounded = (x: number, name: Name) => read(floats([x], [1], name), 1)[0]!

  const angles = Array.from({ length: POSITIONS * HALF }, (_, i) => Math.sin(i + 1))
  const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)]
  /** Number `i` of a head of `numbers`, turned by the angles of a position. */
  const turned = (numbers: ReadonlyArray<number>, position: number, i: number): number => {
    if (i >= 2 * HALF) return numbers[i]!
    const [c, s] = [cos, sin].map((table) => table[position * HALF + (i % HALF)]!) as [number, number]
    return i < HALF ? numbers[i]! * c - numbers[i + HALF]! * s : numbers[i]! * c + numbers[i - HALF]! * s
  }

  /** Columns of one matrix, as a joint product gives them: rows of q, k and v at one distance. */
  const columns = (name: Name) => {
    const sizes = [HEADS * WIDTH, KEY_HEADS * WIDTH, KEY_HEADS * WIDTH]
    const all = floats(made(TOKENS * 160, 1), [TOKENS, 160], name)
    let first = 0
    return sizes.map((size) => call("narrow", "", all, 1, (first += size) - size, size)) as [Handle, Handle, Handle]
  }
  const number = (token: number, column: number) => value(1, token * 160 + column)

  const cached = (heads: Name, cache: Name, rows: Int32Array = slots) => {
    const tables = [floats(cos, [POSITIONS, HALF], "float32"), floats(sin, [POSITIONS, HALF], "float32")] as const
    const empty = () =>
      floats(
        Array.from({ length: SLOTS * 40 }, () => 7),
        [SLOTS, KEY_HEADS, WIDTH],
        cache
      )
    const out = floats(made(TOKENS * 80, 2), [TOKENS, HEADS, WIDTH], heads)
    const [keys, values] = [empty(), empty()]
    addon.cacheHeads(...columns(heads), ...tables, ints(places), ints(rows), out, keys, values)
    return { out: read(out, TOKENS * 80), keys: read(keys, SLOTS * 40), values: read(values, SLOTS * 40) }
  }

  const kinds = [
    ["float32", "float32"],
    ["bfloat16", "bfloat16"],
    // an adapter's factors make heads float32
    ["float32", "bfloat16"]
  ] as const

  it.each(kinds)(
    "turn and go to their slots, %s heads into a cache of %s, and are rounded where they are kept",
    (heads, cache) => {
      const { keys, out, values } = cached(heads, cache)
      /** One rounding of a bfloat16 at most, of numbers below 2; and float32's. */
      const near = (found: number, exact: number, name: Name, what: string) =>
        expect(Math.abs(found - exact), what).toBeLessThan(1e-6 + (name === "float32" ? 0 : 2 ** -8 * Math.abs(exact)))
      for (let t = 0; t < TOKENS; t++) {
        const head = (first: number) => Array.from({ length: WIDTH }, (_, i) => number(t, first + i))
        for (let h = 0; h < HEADS; h++) {
          for (let i = 0; i < WIDTH; i++) {
            near(out[(t * HEADS + h) * WIDTH + i]!, turned(head(h * WIDTH), places[t]!, i), heads, `q ${t} ${h} ${i}`)
          }
        }
        if (slots[t]! < 0) continue
        for (let j = 0; j < 40; j++) {
          const [h, i] = [Math.floor(j / WIDTH), j % WIDTH]
          const at = slots[t]! * 40 + j
          near(keys[at]!, turned(head(80 + h * WIDTH), places[t]!, i), cache, `k ${t} ${j}`)
          expect(values[at], `v ${t} ${j}`).toBe(rounded(number(t, 120 + j), cache))
        }
      }
    }
  )

  it("leave every other slot as it was", () => {
    const { keys, values } = cached("bfloat16", "bfloat16")
    const others = Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => !slots.includes(slot))
    for (const slot of others) {
      for (const held of [keys, values]) expect(new Set(held.slice(slot * 40, slot * 40 + 40))).toEqual(new Set([7]))
    }
  })

  it("are refused where a slot or a head lies outside the cache", () => {
    let failure: unknown
    try {
      cached("bfloat16", "bfloat16", Int32Array.of(0, SLOTS, 1))
    } catch (cause) {
      failure = cause
    }
    expect(isTorchError(failure) && failure.kind).toBe("argument")
  })
})
