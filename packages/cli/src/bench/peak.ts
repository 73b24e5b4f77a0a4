import type { MachineOptions } from "../backend.ts"

/** What a step's speed is held against, and where the number comes from. */
export interface Peak {
  readonly flopsPerSecond: number
  readonly source: "given" | "published" | "measured"
}

/** Dense bfloat16 on the tensor cores of an H100 SXM or H200, by NVIDIA's data sheet. */
const HOPPER_TFLOPS = 989

/** The peak that was given or that is published; undefined where products are to be timed. */
export const knownPeak = ({
  device,
  peakTflops,
  precision
}: MachineOptions & { readonly peakTflops?: number | undefined }): Peak | undefined => {
  if (peakTflops !== undefined) return { flopsPerSecond: peakTflops * 1e12, source: "given" }
  if (device !== "cuda" || precision !== "bfloat16") return undefined
  return { flopsPerSecond: HOPPER_TFLOPS * 1e12, source: "published" }
}
