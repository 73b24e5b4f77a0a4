import { tf } from "./tf.ts"

type KernelConfig = NonNullable<ReturnType<typeof tf.getKernel>>

/** tfjs's own, in which it looks kernels up by names that it puts together anew each time. */
const registry = (globalThis as { _tfGlobals?: Map<string, Map<string, KernelConfig>> })._tfGlobals?.get(
  "kernelRegistry"
)

/** Names in the registry, by backend and kernel. */
const names = new Map<string, Map<string, string>>()

const nameOf = (kernel: string, backend: string): string => {
  let own = names.get(backend)
  if (own === undefined) names.set(backend, (own = new Map()))
  let name = own.get(kernel)
  if (name === undefined) own.set(kernel, (name = `${backend}_${kernel}`))
  return name
}

/** `tf.getKernel`, for who asks often. */
export const kernelOf = (kernel: string, backend: string): KernelConfig | undefined =>
  (registry === undefined ? tf.getKernel(kernel, backend) : registry.get(nameOf(kernel, backend))) ?? undefined
