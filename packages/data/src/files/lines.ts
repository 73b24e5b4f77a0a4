import { createReadStream } from "node:fs"
import type { Readable } from "node:stream"
import { pipeline } from "node:stream"
import { createGunzip } from "node:zlib"
import { MalformedRecord } from "../errors.ts"

export interface Line {
  /** From 1; blank lines count. */
  readonly number: number
  readonly text: string
}

const NEWLINE = 0x0a

/**
 * The lines of a UTF-8 text file that hold something; `.gz` is decompressed. CRLF, a byte-order mark and a last line
 * without a newline are all fine. Throws a MalformedRecord where a line is not UTF-8.
 */
export async function* readLines(file: string, gzip: boolean): AsyncGenerator<Line> {
  let number = 0
  for await (const bytes of byteLines(openText(file, gzip))) {
    number += 1
    const text = decoded(bytes, file, number).trim() // of CR and byte-order mark too
    if (text !== "") yield { number, text }
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true })

const decoded = (bytes: Buffer, file: string, line: number): string => {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new MalformedRecord({ file, line, field: "", reason: "not text in UTF-8" })
  }
}

const openText = (file: string, gzip: boolean): Readable => {
  const raw = createReadStream(file)
  // pipeline, not pipe: an error of the file must end the reader too
  return gzip ? pipeline(raw, createGunzip(), () => undefined) : raw
}

async function* byteLines(source: Readable): AsyncGenerator<Buffer> {
  let pending: Array<Buffer> = []
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...pending, chunk.subarray(from, end)])
      pending = []
      from = end + 1
    }
    if (from < chunk.length) pending.push(chunk.subarray(from))
  }
  if (pending.length > 0) yield Buffer.concat(pending)
}
