/** The kernels of tfjs-core that this backend does not have, each with its reason. */
export const missingKernels: Readonly<Record<string, string>> = {
  FromPixels: "pictures come from a browser's elements; what Node has, tfjs-core reads without a kernel"
}
