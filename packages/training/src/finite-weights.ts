import { tf, type Tensor } from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"

/** The first parameter that holds a NaN or an infinity, as `role/name`. Reads every weight: for runs that fail. */
export const firstNotFinite = (models: Trainable): string | undefined => {
  for (const [role, { parameters }] of Object.entries(models)) {
    for (const [name, tensor] of parameters) if (!isFinite(tensor)) return `${role}/${name}`
  }
  return undefined
}

/** 0 · x is 0 where x is finite; backends without a kernel for finiteness have one for this. */
const isFinite = (tensor: Tensor): boolean =>
  tensor.dtype !== "float32" || tf.tidy(() => tf.sum(tf.mul(tensor, 0)).dataSync()[0]) === 0
