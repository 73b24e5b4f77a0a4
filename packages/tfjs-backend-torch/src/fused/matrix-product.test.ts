import { beforeAll, describe, expect, it, vi } from "vitest"
import { addonPath, type Handle } from "../addon.ts"
import { aten, inScope } from "../aten.ts"
import { TorchBackend } from "../backend.ts"
import { KernelScope } from "../kernel.ts"
import { BFLOAT16, FLOAT16, FLOAT32 } from "../scalar-type.ts"
import { addMatrixProduct, matrixProduct, matrixProductInto, stackProduct } from "./matrix-product.ts"
import { typeOf } from "../handle-facts.ts"

const t = aten("t")

describe.skipIf(addonPath() === undefined)("products of matrices on the CPU", () => {
  let scope: KernelScope
  beforeAll(() => {
    scope = new KernelScope(new TorchBackend({ device: "cpu" }))
  })

  // whole numbers whose sums are small are exact in every type
  const whole = (count: number, seed: number) =>
    Float32Array.from({ length: count }, (_, i) => ((i * 5 + seed) % 7) - 3)
  const matrix = (numbers: Float32Array, shape: ReadonlyArray<number>, type: number) =>
    aten("to.dtype")(scope.upload(numbers, shape, FLOAT32), type)
  const read = (handle: Handle) => {
    const { addon } = scope.backend
    return addon.toHost(handle, new Float32Array(addon.shape(handle).reduce((all, size) => all * size, 1)))
  }

  const [rows, inner, columns] = [5, 11, 4]
  const [a, b, sum] = [whole(rows * inner, 1), whole(inner * columns, 2), whole(rows * columns, 3)]
  const expected = Float32Array.from({ length: rows * columns }, (_, i) => {
    let total = 0
    for (let k = 0; k < inner; k++) total += a[Math.floor(i / columns) * inner + k]! * b[k * columns + (i % columns)]!
    return total
  })

  it.each([
    ["float32", FLOAT32, true],
    ["bfloat16 of wide copies", BFLOAT16, false],
    ["bfloat16 as it is", BFLOAT16, true],
    ["float16 of wide copies", FLOAT16, false]
  ])("are a·b, in their storage: %s", (_, type, multiplies) => {
    using _spy = vi.spyOn(scope.backend, "hostMultiplies").mockReturnValue(multiplies)
    inScope(() => {
      const [left, right] = [matrix(a, [rows, inner], type), matrix(b, [inner, columns], type)]
      const made = matrixProduct(left, right, scope)
      expect(typeOf(made)).toBe(type)
      expect(read(made)).toEqual(expected)

      const transposed = matrixProduct(t(right), t(left), scope)
      expect(read(aten("contiguous")(t(transposed)))).toEqual(expected)

      const out = matrix(sum, [rows, columns], type)
      addMatrixProduct(out, left, right, scope, 2)
      expect(read(out)).toEqual(sum.map((value, i) => value + 2 * expected[i]!))
      matrixProductInto(left, right, out, scope)
      expect(read(out)).toEqual(expected)

      const stack = stackProduct(matrix(a, [1, rows, inner], type), matrix(b, [1, inner, columns], type), scope)
      expect(typeOf(stack)).toBe(type)
      expect(read(stack)).toEqual(expected)
    })
  })

  it.each([
    ["oneDNN", true],
    ["ATen", false]
  ])("of many numbers are the same by %s, whatever order they lie in", (_, hasOneDnn) => {
    using _spy = vi.spyOn(scope.backend, "hasOneDnnProducts", "get").mockReturnValue(hasOneDnn)
    const [many, depth, wideness] = [65, 131, 157]
    const [left, right] = [whole(many * depth, 1), whole(depth * wideness, 2)]
    const exact = new Float32Array(many * wideness)
    for (let i = 0; i < many; i++) {
      for (let k = 0; k < depth; k++) {
        for (let j = 0; j < wideness; j++) {
          exact[i * wideness + j]! += left[i * depth + k]! * right[k * wideness + j]!
        }
      }
    }
    inScope(() => {
      const turned = (x: Handle) => t(aten("contiguous")(t(x)))
      const amongColumns = (x: Handle) => {
        const width = scope.backend.addon.shape(x)[1]!
        return aten("narrow")(aten("cat")([x, x, x], 1), 1, width, width)
      }
      const places = [(x: Handle) => x, turned, amongColumns]
      const [a, b] = [matrix(left, [many, depth], FLOAT32), matrix(right, [depth, wideness], FLOAT32)]
      for (const lay of places) {
        for (const layOther of places) {
          expect(read(matrixProduct(lay(a), layOther(b), scope))).toEqual(exact)
          const out = amongColumns(aten("zeros")([many, wideness], FLOAT32, undefined, "cpu"))
          matrixProductInto(lay(a), layOther(b), out, scope)
          addMatrixProduct(out, lay(a), layOther(b), scope, 2)
          expect(read(aten("contiguous")(out))).toEqual(exact.map((value) => 3 * value))
          // bᵀ·aᵀ has more rows than columns
          const high = amongColumns(aten("zeros")([wideness, many], FLOAT32, undefined, "cpu"))
          matrixProductInto(t(layOther(b)), t(lay(a)), high, scope)
          addMatrixProduct(high, t(layOther(b)), t(lay(a)), scope, 2)
          expect(read(aten("contiguous")(t(high)))).toEqual(exact.map((value) => 3 * value))
        }
      }
      const nothing = matrixProduct(
        matrix(new Float32Array(), [many, 0], FLOAT32),
        matrix(new Float32Array(), [0, wideness], FLOAT32),
        scope
      )
      expect(read(nothing).every((value) => value === 0)).toBe(true)
    })
  })

  it("rounds once where operands are widened", () => {
    using _spy = vi.spyOn(scope.backend, "hostMultiplies").mockReturnValue(false)
    inScope(() => {
      // 256 + 1 is no bfloat16, 256 + 1 + 1 is one
      const product = matrixProduct(
        matrix(Float32Array.of(16, 1, 1), [1, 3], BFLOAT16),
        matrix(Float32Array.of(16, 1, 1), [3, 1], BFLOAT16),
        scope
      )
      expect([...read(product)]).toEqual([258])
    })
  })

  it("knows what the processor multiplies", () => {
    expect(scope.backend.hostMultiplies(FLOAT32)).toBe(true)
    expect(typeof scope.backend.hostMultiplies(BFLOAT16)).toBe("boolean")
  })
})
