import type { TensorInfo } from "@tensorflow/tfjs-core"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { cast } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

const add = aten("add.Tensor")
const addTo = atenInPlace("add_.Tensor")

/** {x, bias} → x + bias in the storage of x, in place where no other tensor is on its values. */
export const addBias: Kernel = ({ bias, x }: Record<"x" | "bias", TensorInfo>, _, scope) => {
  const { backend } = scope
  const values = scope.of(x)
  const type = typeOf(values)
  const line = cast(type === FLOAT32 ? scope.of(bias) : backend.compute(bias), type)
  if (backend.refCount(x.dataId) !== 1) return scope.out(add(values, line), "float32", x.shape)
  addTo(values, line)
  backend.setCompanion(x, undefined)
  return scope.written(x)
}
