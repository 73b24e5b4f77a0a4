import type { DataType } from "@tensorflow/tfjs-core"

// c10::ScalarType numbers, as ATen's `dtype` arguments take them.
export const INT32 = 3
export const INT64 = 4
export const FLOAT16 = 5
export const FLOAT32 = 6
export const FLOAT64 = 7
export const COMPLEX64 = 9
export const BOOL = 11
export const BFLOAT16 = 15

/** How the numbers of a logical float32 tensor lie in memory. */
export type Storage = "float32" | "bfloat16" | "float16"

export const STORAGE_TYPES: Readonly<Record<Storage, number>> = {
  float32: FLOAT32,
  bfloat16: BFLOAT16,
  float16: FLOAT16
}

/** ATen would drop the imaginary parts. */
export class ComplexNumbers extends Error {
  override readonly name = "ComplexNumbers"
  readonly shape: ReadonlyArray<number>

  constructor(shape: ReadonlyArray<number>) {
    super(
      `real numbers are needed where a tensor of shape [${shape}] has complex ones; tf.real, tf.imag, tf.abs give such`
    )
    this.shape = shape
  }
}

/** libtorch has nothing for strings. */
export class StringsStayOnHost extends Error {
  override readonly name = "StringsStayOnHost"

  constructor() {
    super("tensors of strings stay on the host: libtorch has nothing for them, nor has tfjs's CPU backend this kernel")
  }
}

/** The scalar type in which values of a tfjs dtype arrive. Strings never come to libtorch. */
export const scalarTypeOf = (dtype: DataType): number => {
  const type = { float32: FLOAT32, int32: INT32, bool: BOOL, complex64: COMPLEX64 }[dtype as "float32"]
  if (type === undefined) throw new StringsStayOnHost()
  return type
}

/** A number as a tensor of the dtype stores it, by JavaScript's conversions; ATen refuses one that the dtype has not. */
export const stored = (value: number, dtype: DataType): number => {
  if (dtype === "int32") return value | 0
  return dtype === "bool" ? Number(Boolean(value)) : Math.fround(value)
}

/** Whether a tensor of scalar type `type` is a valid value of `dtype`: float32 may be stored narrower. */
export const holds = (dtype: DataType, type: number): boolean =>
  type === scalarTypeOf(dtype) || (dtype === "float32" && (type === BFLOAT16 || type === FLOAT16))
