const ARRAYS = { Int32Array, Float32Array, Float64Array, Uint8Array } as const
type ArrayName = keyof typeof ARRAYS

/** JSON with typed arrays, exact to the bit: each is an object of its type's name and its bytes in base64. */
export const stringifyTyped = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => {
    const name = ArrayBuffer.isView(part) ? (part.constructor.name as ArrayName) : undefined
    if (name === undefined || !(name in ARRAYS)) return part
    const { buffer, byteLength, byteOffset } = part as Uint8Array
    return { [`$${name}`]: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString("base64") }
  })

export const parseTyped = (text: string): unknown => withTyped(JSON.parse(text))

/** JSON that is parsed already, with its typed arrays. @throws where an array's bytes are none */
export const withTyped = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(withTyped)
  const entries = Object.entries(value)
  const [key, bytes] = entries[0] ?? []
  const name = key?.startsWith("$") === true ? (key.slice(1) as ArrayName) : undefined
  if (name === undefined || !(name in ARRAYS)) {
    return Object.fromEntries(entries.map(([field, part]) => [field, withTyped(part)]))
  }
  // a copy of its own, aligned
  return new ARRAYS[name](new Uint8Array(Buffer.from(bytes as string, "base64")).buffer)
}
