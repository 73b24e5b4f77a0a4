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
