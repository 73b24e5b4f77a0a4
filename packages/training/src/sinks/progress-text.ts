/** A piece of a line and how a terminal shows it. */
export interface Segment {
  readonly text: string
  readonly style?: "bold" | "dim" | "cyan"
}

const ANSI = { bold: "\u001b[1m", dim: "\u001b[2m", cyan: "\u001b[36m" } as const
const RESET = "\u001b[0m"

const twoDigits = (value: number) => String(value).padStart(2, "0")

/** `45s`, `1m05s`, `2h07m`, `3d04h`: two units, rounded to the smaller one. */
export const formatDuration = (seconds: number): string => {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m${twoDigits(whole % 60)}s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h${twoDigits(minutes % 60)}m`
  const hours = Math.round(seconds / 3600)
  return `${Math.floor(hours / 24)}d${twoDigits(hours % 24)}h`
}

/** Four significant digits, or three in powers of ten below 0.001 and from 10000 up; small integers as they are. */
export const formatMetric = (value: number): string => {
  const size = Math.abs(value)
  if (!Number.isFinite(value) || (Number.isInteger(value) && size < 10_000)) return String(value)
  const plain = value.toPrecision(4)
  return size >= 0.001 && !plain.includes("e") ? plain : value.toExponential(2).replace("e+", "e")
}

/** Three significant digits with a thousands suffix: `950`, `48.0k`, `1.20M`. */
export const formatCount = (value: number): string => {
  const suffixes = ["", "k", "M", "G"]
  // 999.5 is the first number that three digits print as 1000.
  let power = 0
  while (power < suffixes.length - 1 && Math.abs(value) / 1000 ** power >= 999.5) power++
  const scaled = value / 1000 ** power
  const digits = Math.abs(scaled) < 9.995 ? 2 : Math.abs(scaled) < 99.95 ? 1 : 0
  return `${scaled.toFixed(digits)}${suffixes[power]}`
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A bar `width` columns wide, filled to `fraction` (held to [0, 1]) in eighths of a column. */
export const progressBar = (fraction: number, width: number): string => {
  const eighths = Math.floor(Math.min(1, Math.max(0, fraction)) * width * 8)
  const filled = "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!
  return filled.padEnd(width)
}

/** At most `width` columns of text; what was cut shows as `…`. One code point counts as one column. */
export const clipText = (text: string, width: number): string => {
  const points = [...text]
  if (points.length <= width) return text
  return width <= 0 ? "" : `${points.slice(0, width - 1).join("")}…`
}

/** Joins segments, clipped to `width` columns together; styles only where `colour`. */
export const renderLine = (segments: ReadonlyArray<Segment>, width: number, colour: boolean): string => {
  let line = ""
  let room = width
  for (const { text, style } of segments) {
    const shown = clipText(text, room)
    room -= [...shown].length
    line += colour && style !== undefined && shown !== "" ? `${ANSI[style]}${shown}${RESET}` : shown
  }
  return line
}
