import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Kernel } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { renewCopy } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

/** {target}, {values} → the target, written in place, its copy for products with it; where that cannot be, a tensor of the values. */
export const writeValues: Kernel = (
  { target }: Record<"target", TensorInfo>,
  { values }: { readonly values: Float32Array },
  scope
) => {
  const { backend } = scope
  if (backend.isShared(target) || typeOf(scope.of(target)) !== FLOAT32) {
    return scope.out(scope.upload(values, target.shape, FLOAT32), "float32", target.shape)
  }
  const handle = scope.of(target)
  backend.addon.write(handle, values)
  const copy = backend.companion(target)
  if (copy !== undefined) renewCopy(copy, handle, scope)
  return scope.written(target)
}
