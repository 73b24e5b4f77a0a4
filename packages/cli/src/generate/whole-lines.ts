import { closeSync, openSync, readSync } from "node:fs"

const BLOCK = 2 ** 16
const NEWLINE = 0x0a

/** A line of a file, and the byte after its end. */
interface Line {
  readonly text: string
  readonly end: number
}

/** The lines of a file that have an end, block by block: a file of responses may be longer than any string. */
export const wholeLines = function* (file: string): Generator<Line> {
  const descriptor = openSync(file, "r")
  try {
    const block = Buffer.alloc(BLOCK)
    // of a line that began in a block before
    let begun: Array<Buffer> = []
    let at = 0
    for (let read = BLOCK; read > 0; at += read) {
      read = readSync(descriptor, block, 0, BLOCK, null)
      let start = 0
      for (let end = next(block, start, read); end >= 0; end = next(block, start, read)) {
        const bytes = Buffer.concat([...begun, block.subarray(start, end)])
        begun = []
        start = end + 1
        yield { text: bytes.toString("utf8"), end: at + start }
      }
      begun.push(Buffer.from(block.subarray(start, read)))
    }
  } finally {
    closeSync(descriptor)
  }
}

const next = (block: Buffer, start: number, length: number): number => {
  const found = block.indexOf(NEWLINE, start)
  return found < length ? found : -1
}
