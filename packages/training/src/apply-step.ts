import { tf, type NamedTensorMap } from "@plumbline/runtime"
import type { BegunStep, StepNumbers } from "./accumulate.ts"
import { clipScale, type Optimizer } from "./optimizer.ts"

export interface AppliedStep extends StepNumbers {
  /** The first metric that is not finite, for which no weight was moved. */
  readonly broken: readonly [metric: string, value: number] | undefined
}

/**
 * Reads what a step came to and applies its gradients, which it frees, where all of that is finite. The update is ready before
 * it is read, so that the device hardly stands still between the two.
 *
 * Experience that has nothing to learn from moves no weight, not even by momentum.
 *
 * @param maxGradNorm 0 or less = no clipping
 */
export const applyStep = (
  optimizer: Optimizer,
  { gradients, read }: BegunStep,
  learningRate: number,
  maxGradNorm: number
): AppliedStep => {
  let numbers: StepNumbers | undefined
  const scale = () => {
    numbers = read()
    return notFinite(numbers) === undefined ? clipScale(numbers.metrics["grad_norm"]!, maxGradNorm) : undefined
  }
  try {
    if (Object.keys(gradients).length > 0) optimizer.apply(gradients, learningRate, scale)
    numbers ??= read()
    return { ...numbers, broken: notFinite(numbers) }
  } finally {
    tf.dispose(gradients as NamedTensorMap)
  }
}

const notFinite = ({ metrics }: StepNumbers) => Object.entries(metrics).find(([, value]) => !Number.isFinite(value))
