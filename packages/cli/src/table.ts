/** One column of a table. */
export interface TableColumn {
  readonly title: string
  /** Numbers read better on the right. Left where absent. */
  readonly align?: "left" | "right"
}

const GAP = "  "

/** East Asian wide and emoji code points, which take two columns. */
const WIDE =
  /[\p{Emoji_Presentation}\u1100-\u115F\u2E80-\u303E\u3041-\u33FF\u3400-\u4DBF\u4E00-\u9FFF\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]/u

/** Marks that sit on the character before them, joiners and variation selectors. */
const ZERO_WIDTH = /[\p{Mn}\p{Me}\u200B-\u200F]/u

const characterWidth = (character: string) => (ZERO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1)

/** Columns that a terminal gives to a text. */
export const displayWidth = (text: string): number =>
  Array.from(text).reduce((sum, character) => sum + characterWidth(character), 0)

/** One line, without control characters: newlines and tabs become `⏎` and a blank, others `·`. */
const oneLine = (text: string) =>
  text
    .replace(/\r?\n/g, "⏎")
    .replace(/\t/g, " ")
    .replace(/\p{Cc}/gu, "·")

/** At most `width` columns of text, the cut marked by `…`. */
export const clipToWidth = (text: string, width: number): string => {
  if (displayWidth(text) <= width) return text
  if (width <= 0) return ""
  let kept = ""
  let room = width - 1
  for (const character of text) {
    room -= characterWidth(character)
    if (room < 0) break
    kept += character
  }
  return `${kept}…`
}

const pad = (text: string, width: number, align: TableColumn["align"]) => {
  const blanks = " ".repeat(Math.max(0, width - displayWidth(text)))
  return align === "right" ? blanks + text : text + blanks
}

/** Takes from the widest column, one at a time, until all fit; a column keeps at least one. */
const fitWidths = (wanted: ReadonlyArray<number>, room: number): ReadonlyArray<number> => {
  const widths = [...wanted]
  for (let excess = widths.reduce((sum, width) => sum + width, 0) - room; excess > 0; excess--) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widths[widest]! <= 1) break
    widths[widest]! -= 1
  }
  return widths
}

/**
 * Rows of text under their titles, columns aligned, every line at most `width` columns wide: the widest columns are cut
 * first. A row has one cell a column.
 */
export const textTable = (
  columns: ReadonlyArray<TableColumn>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  width: number
): string => {
  const lines = [columns.map(({ title }) => title), ...rows].map((cells) => cells.map(oneLine))
  const wanted = columns.map((_, column) => Math.max(...lines.map((cells) => displayWidth(cells[column]!))))
  const widths = fitWidths(wanted, width - GAP.length * (columns.length - 1))
  return lines
    .map((cells) =>
      cells.map((cell, column) => pad(clipToWidth(cell, widths[column]!), widths[column]!, columns[column]!.align))
    )
    .map((cells) => clipToWidth(cells.join(GAP).trimEnd(), width))
    .join("\n")
}
