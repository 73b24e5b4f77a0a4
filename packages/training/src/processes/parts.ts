/** A tensor this small costs more to divide than to keep whole everywhere. */
const SMALLEST = 2 ** 16

/**
 * Whether processes each keep one part of a parameter's gradient and moments, and update that part of it.
 *
 * @see Rajbhandari et al. 2020, ZeRO, stages 1 and 2, https://arxiv.org/abs/1910.02054
 */
export const isDivided = (size: number, processes: number): boolean =>
  processes > 1 && size >= SMALLEST && size % processes === 0
