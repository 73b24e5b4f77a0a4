import { tf } from "./tf.ts"

type KernelConfig = NonNullable<ReturnType<typeof tf.getKernel>>

/** tfjs's own, in which it looks kernels up by names that it puts together anew each time. */
const registry = (globalThis as { _tfGlobals?: Map<string, Map<string, KernelConfig>> })._tfGlobals?.get(
  "kernelRegistry"
)

/** Names in the registry, by kernel, of the backend that was asked for last: hardly ever another one. */
let [asked, names] = ["", new Map<string, string>()]

const nameOf = (kernel: string, backend: string): string => {
  if (backend !== asked) [asked, names] = [backend, new Map()]
  let name = names.get(kernel)
  if (name === undefined) names.set(kernel, (name = `${backend}_${kernel}`))
  return name
}

/** `tf.getKernel`, for who asks often. */
export const kernelOf = (kernel: string, backend: string): KernelConfig | undefined =>
  (registry === undefined ? tf.getKernel(kernel, backend) : registry.get(nameOf(kernel, backend))) ?? undefined
