/** One value of a curve. */
export interface CurvePoint {
  readonly step: number
  readonly value: number
}

export interface ChartOptions {
  readonly title: string
  /** Columns of the whole chart, axis labels included. */
  readonly width: number
  /** Rows of the curve, without the title and the step axis. */
  readonly height: number
  /** Logarithmic value axis; values ≤ 0 are left out, and the title says how many. */
  readonly log?: boolean
}

interface Range {
  readonly low: number
  readonly high: number
}

interface Axis extends Range {
  readonly ticks: ReadonlyArray<{ readonly value: number; readonly label: string }>
}

const rangeOf = (values: ReadonlyArray<number>): Range => ({
  low: values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY),
  high: values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
})

/** Six significant digits, without trailing zeros. */
const plain = (value: number) => String(Number(value.toPrecision(6)))

/** A range of no extent is widened about its one value. */
const widen = ({ low, high }: Range): Range => {
  if (low < high) return { low, high }
  const margin = low === 0 ? 1 : Math.abs(low) / 10
  return { low: low - margin, high: high + margin }
}

/** The smallest of 1, 2 and 5 times a power of ten that divides the range into at most `count` parts. */
const roundStep = ({ low, high }: Range, count: number): number => {
  const rough = (high - low) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  return ([1, 2, 5].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10) * power
}

/** As many decimals as tell neighbouring ticks apart, in powers of ten where plain digits would be long. */
const tickLabel = (value: number, step: number, largest: number): string => {
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9))
  if (largest < 1e6 && decimals <= 6) return value.toFixed(decimals)
  const digits = Math.floor(Math.log10(largest)) - Math.floor(Math.log10(step) + 1e-9)
  return value === 0 ? "0" : value.toExponential(Math.max(0, digits)).replace("e+", "e")
}

const linearTicks = ({ low, high }: Range, step: number) => {
  const largest = Math.max(Math.abs(low), Math.abs(high))
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)]
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = (first + index) * step
    return { value, label: tickLabel(value, step, largest) }
  })
}

/** From one round number to another, at a distance of about three rows. */
const linearAxis = (values: Range, rows: number): Axis => {
  const range = widen(values)
  const step = roundStep(range, Math.max(1, Math.floor(rows / 3)))
  const rounded = { low: Math.floor(range.low / step + 1e-9) * step, high: Math.ceil(range.high / step - 1e-9) * step }
  return { ...rounded, ticks: linearTicks(rounded, step) }
}

/** 1, 2 and 5 times the powers of ten within a range of positive numbers. */
const roundNumbers = ({ low, high }: Range): ReadonlyArray<number> => {
  const [first, last] = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high))]
  const decades = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
  return decades.flatMap((power) => [power, 2 * power, 5 * power]).filter((value) => value >= low && value <= high)
}

/** Powers of ten where the values span two or more, else round numbers. Positions are decimal logarithms. */
const logAxis = (values: Range, rows: number): Axis => {
  const range = widen(values)
  const exponents = { low: Math.log10(range.low), high: Math.log10(range.high) }
  const most = Math.max(1, Math.floor(rows / 2))
  if (exponents.high - exponents.low >= 2) {
    const stride = Math.max(1, Math.ceil((exponents.high - exponents.low) / most))
    const powers = linearTicks(exponents, stride).map(({ value }) => ({ value, label: `1e${value}` }))
    return { ...exponents, ticks: powers }
  }
  const sparse = roundNumbers(range).map((value) => ({ value, label: plain(value) }))
  const ticks = sparse.length >= 2 ? sparse : linearTicks(range, roundStep(range, most))
  return { ...exponents, ticks: ticks.map(({ value, label }) => ({ value: Math.log10(value), label })) }
}

/** Position of a value on `count` dots, the lowest at 0; where rounding put it past an end, that end. */
const dotOf = (value: number, { low, high }: Range, count: number) => {
  if (low === high) return Math.floor((count - 1) / 2)
  const share = Math.min(1, Math.max(0, (value - low) / (high - low)))
  return Math.round(share * (count - 1))
}

/** Bits of a braille character's dots, two columns of four rows. Unicode 15, block U+2800. */
const BRAILLE_BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80]
] as const

/** A drawing area of `columns` × `rows` characters, each two dots wide and four high; dot (0, 0) is bottom left. */
const brailleCanvas = (columns: number, rows: number) => {
  const cells = Array.from({ length: rows }, () => new Uint8Array(columns))
  const dot = (x: number, y: number) => {
    const fromTop = rows * 4 - 1 - y
    cells[Math.floor(fromTop / 4)]![Math.floor(x / 2)]! |= BRAILLE_BITS[x % 2]![fromTop % 4]!
  }
  const line = (fromX: number, fromY: number, toX: number, toY: number) => {
    const length = Math.max(1, Math.abs(toX - fromX), Math.abs(toY - fromY))
    for (let at = 0; at <= length; at++) {
      dot(Math.round(fromX + ((toX - fromX) * at) / length), Math.round(fromY + ((toY - fromY) * at) / length))
    }
  }
  const text = () =>
    cells.map((row) => Array.from(row, (bits) => (bits === 0 ? " " : String.fromCodePoint(0x2800 + bits))).join(""))
  return { line, text }
}

const drawCurve = (points: ReadonlyArray<CurvePoint>, steps: Range, values: Range, columns: number, rows: number) => {
  const canvas = brailleCanvas(columns, rows)
  const dots = points.map(
    ({ step, value }) => [dotOf(step, steps, columns * 2), dotOf(value, values, rows * 4)] as const
  )
  dots.forEach(([x, y], index) => {
    const [fromX, fromY] = dots[index - 1] ?? [x, y]
    canvas.line(fromX, fromY, x, y)
  })
  return canvas.text()
}

const summary = (points: ReadonlyArray<CurvePoint>) => {
  const least = points.reduce((a, b) => (b.value < a.value ? b : a))
  const most = points.reduce((a, b) => (b.value > a.value ? b : a))
  const at = (name: string, { step, value }: CurvePoint) => `${name} ${plain(value)} at step ${step}`
  return [at("min", least), at("max", most), at("last", points.at(-1)!)].join(" · ")
}

/** The first step under the left end, the last under the right end. */
const stepAxis = ({ low, high }: Range, columns: number) => {
  if (low === high) return `${low}`.padStart(Math.ceil(columns / 2))
  const room = columns - `${low}`.length
  return room > `${high}`.length ? `${low}${`${high}`.padStart(room)}` : `${low}`
}

/** The title and the values in words, on one line where they fit. */
const heading = (title: string, shown: ReadonlyArray<CurvePoint>, width: number) => {
  const inWords = summary(shown)
  return title.length + inWords.length + 2 <= width ? `${title}: ${inWords}` : `${title}\n${inWords}`
}

/** Puts the value axis to the left of the rows of a plot, and the step axis under it. */
const framed = (
  plot: ReadonlyArray<string>,
  labels: ReadonlyMap<number, string>,
  labelWidth: number,
  columns: number,
  steps: Range
): ReadonlyArray<string> => {
  const indent = " ".repeat(labelWidth + 1)
  const rows = plot.map((text, row) => {
    const label = labels.get(row)
    return label === undefined ? `${indent}│${text}` : `${label.padStart(labelWidth)} ┤${text}`
  })
  return [
    ...rows.map((row) => row.trimEnd()),
    `${indent}└${"─".repeat(columns)}`,
    `${indent} ${stepAxis(steps, columns)}`
  ]
}

/** Labels by row from the top. */
const tickRows = (axis: Axis, rows: number): ReadonlyMap<number, string> =>
  new Map(axis.ticks.map(({ value, label }) => [rows - 1 - Math.floor(dotOf(value, axis, rows * 4) / 4), label]))

/**
 * A curve over steps in braille dots, with its least, greatest and last value in words. Points go by ascending step;
 * values that are not finite cannot be drawn, and the title says how many there are.
 */
export const lineChart = (points: ReadonlyArray<CurvePoint>, options: ChartOptions): string => {
  const { title, width, log = false } = options
  const rows = Math.max(1, options.height)
  const shown = points.filter(({ value }) => Number.isFinite(value) && (!log || value > 0))
  const hidden = points.length - shown.length
  const omitted = hidden === 0 ? "" : ` (${hidden} not shown: ${log ? "zero, negative or not finite" : "not finite"})`
  if (shown.length === 0) return `${title}: no values${omitted}`

  const values = rangeOf(shown.map(({ value }) => value))
  const steps = rangeOf(shown.map(({ step }) => step))
  const axis = log ? logAxis(values, rows) : linearAxis(values, rows)
  const labels = tickRows(axis, rows)
  const labelWidth = Math.max(0, ...Array.from(labels.values(), (label) => label.length))
  const columns = Math.max(1, width - labelWidth - 2)
  const placed = log ? shown.map(({ step, value }) => ({ step, value: Math.log10(value) })) : shown
  const plot = drawCurve(placed, steps, axis, columns, rows)
  const fullTitle = `${title}${log ? ", log scale" : ""}${omitted}`
  return [heading(fullTitle, shown, width), ...framed(plot, labels, labelWidth, columns, steps)].join("\n")
}

const BLOCKS = "▁▂▃▄▅▆▇█"

/** The values as one row of blocks, `width` at most: neighbours are averaged where there are more. */
export const sparkline = (values: ReadonlyArray<number>, width: number): string => {
  const columns = Math.min(width, values.length)
  if (columns <= 0) return ""
  const means = Array.from({ length: columns }, (_, column) => {
    const part = values.slice(
      Math.floor((column * values.length) / columns),
      Math.floor(((column + 1) * values.length) / columns)
    )
    return part.reduce((sum, value) => sum + value, 0) / part.length
  })
  const range = rangeOf(means)
  return means.map((mean) => BLOCKS[dotOf(mean, range, BLOCKS.length)]).join("")
}
