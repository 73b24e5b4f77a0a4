import type { ModelRuntimeShape } from "@plumbline/runtime"
import type { Finding } from "@plumbline/training"
import { byteText } from "../quantities.ts"

type Runtime = Pick<ModelRuntimeShape, "backend" | "memory">

/** What the wasm backend's tensors may have. */
const WASM_BYTES = 3 * 2 ** 30

/** Bytes that a run can still take where it computes. */
export const availableBytes = ({ backend, memory }: Runtime): number => {
  const { availableBytes: onDevice } = memory()
  if (onDevice !== undefined) return onDevice
  const here = process.availableMemory()
  return backend === "wasm" ? Math.min(WASM_BYTES, here) : here
}

/** Whether what a plan asks for is there. */
export const roomFinding = (planned: number, available: number): Finding => ({
  check: "memory",
  verdict: planned > available ? "refused" : "fine",
  text:
    `a plan estimates ${byteText(planned)}, and ${byteText(available)} are there` +
    (planned > available
      ? ": a smaller --micro-batch-size, --precision bfloat16 or, in several processes, --sharding full takes less"
      : "")
})

/** What the first step took, where the backend counts it. */
export const usedFinding = ({ memory }: Runtime): ReadonlyArray<Finding> => {
  const { peakBytes } = memory()
  if (peakBytes === undefined) return []
  return [{ check: "memory", verdict: "fine", text: `the first step had at most ${byteText(peakBytes)} in use` }]
}
