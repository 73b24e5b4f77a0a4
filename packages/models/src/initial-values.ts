import type { RandomStream } from "@plumbline/runtime"
import { elementCount, type ParameterSpec } from "./decoder/parameter.ts"

/** What a new model starts a parameter with. @param range of the normal ones */
export const initialValues = (
  { initial, shape }: ParameterSpec,
  range: number,
  { normal }: RandomStream
): Float32Array => {
  const values = new Float32Array(elementCount(shape))
  if (initial === "ones") return values.fill(1)
  if (initial === "zeros") return values
  return values.map((_, i) => range * normal(i))
}
