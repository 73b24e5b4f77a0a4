/** A token's results cannot be made the same in every batch, for this model or with this library and device. */
export class BatchInvarianceUnavailable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = "BatchInvarianceUnavailable"
  }

  /** @param shape queries, [N, H, d] */
  static ofHeads([, heads, width]: ReadonlyArray<number>): BatchInvarianceUnavailable {
    return new BatchInvarianceUnavailable(
      `batch-invariant attention takes bfloat16 heads of 16, 32, 64, 128 or 256 numbers, at most 8 query heads to a key head; this model has ${heads} query heads of ${width} numbers`
    )
  }

  static ofProduct(inner: number, outputs: number, rows: readonly [number, number], torch: string) {
    return new BatchInvarianceUnavailable(
      `products of ${inner} with ${outputs} features come out differently for ${rows[0]} and ${rows[1]} rows on this GPU with torch ${torch}`
    )
  }
}
