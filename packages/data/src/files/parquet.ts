import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib"

/** Codecs beside hyparquet's own (none, Snappy). */
const compressors = {
  GZIP: (input: Uint8Array) => new Uint8Array(gunzipSync(input)),
  ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)),
  BROTLI: (input: Uint8Array) => new Uint8Array(brotliDecompressSync(input))
}

/** The rows of a Parquet file as plain objects; 64-bit integers become numbers, nulls are left out. Throws hyparquet's errors. */
export const readParquet = async (file: string): Promise<ReadonlyArray<Record<string, unknown>>> => {
  const { asyncBufferFromFile, parquetReadObjects } = await import("hyparquet")
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors })
  return rows.map((row) => plain(row) as Record<string, unknown>)
}

const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== "object" || value.constructor !== Object) return value
  const kept = Object.entries(value).filter(([, field]) => field !== null && field !== undefined)
  return Object.fromEntries(kept.map(([name, field]) => [name, plain(field)]))
}
