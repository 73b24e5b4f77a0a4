/** A token's results cannot be made the same in every batch, for this model or with this library and device. */
export class BatchInvarianceUnavailable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = "BatchInvarianceUnavailable"
  }

  /**
   * @param shape     queries, [N, H, d]
   * @param widths    numbers of a head that there are kernels for
   * @param mostGroup query heads to a key head at most
   */
  static ofHeads([, heads, width]: ReadonlyArray<number>, widths: ReadonlyArray<string>, mostGroup: number) {
    const known = `${widths.slice(0, -1).join(", ")} or ${widths.at(-1)}`
    return new BatchInvarianceUnavailable(
      `batch-invariant attention takes bfloat16 heads of ${known} numbers, at most ${mostGroup} query heads to a key head; this model has ${heads} query heads of ${width} numbers`
    )
  }

  static ofProduct(inner: number, outputs: number, rows: readonly [number, number], torch: string) {
    return new BatchInvarianceUnavailable(
      `products of ${inner} with ${outputs} features come out differently for ${rows[0]} and ${rows[1]} rows on this GPU with torch ${torch}`
    )
  }
}
