import { DRAW_WIDTH, type LogitEdits, type SamplingRows, type TokenLists } from "@plumbline/runtime"
import { type Draw, drawnTokens } from "./group.ts"

/** How each token is drawn. */
export const samplingRows = (drawn: ReadonlyArray<Draw>): SamplingRows => ({
  draws: draws(drawn),
  edits: logitEdits(drawn),
  allowed: allowedTokens(drawn)
})

/** What lies beyond does what these do, but float32 could not be divided or multiplied by it. */
const [LEAST, MOST] = [2 ** -100, 2 ** 100]

const bounded = (factor: number): number => Math.min(MOST, Math.max(LEAST, factor))

const draws = (drawn: ReadonlyArray<Draw>): Float32Array => {
  const numbers = new Float32Array(drawn.length * DRAW_WIDTH)
  drawn.forEach((draw, i) => {
    const { minP, temperature, topK, topP } = draw.row.group.request.sampling
    const greedy = temperature === 0
    const first = i * DRAW_WIDTH
    numbers[first] = greedy ? 0 : uniformOf(draw)
    numbers[first + 1] = greedy ? 0 : bounded(temperature)
    numbers[first + 2] = topK
    numbers[first + 3] = Math.max(LEAST, topP)
    numbers[first + 4] = minP
  })
  return numbers
}

/** In [0, 1), of the row's stream and the token's place alone; 24 bits, which float32 holds exactly. */
const uniformOf = (draw: Draw): number => (draw.row.stream.uint32(tokensBefore(draw)) >>> 8) / 2 ** 24

/** Tokens of the response before it. */
const tokensBefore = ({ drafted, row }: Draw): number => drawnTokens(row) + drafted

const logitEdits = (drawn: ReadonlyArray<Draw>): LogitEdits | undefined => {
  const edits = drawn.map((draw) => draw.row.rules.edits(tokensBefore(draw)))
  if (edits.every((row) => row === undefined)) return undefined
  const lists = tokenLists(edits.map((row) => (row === undefined ? NONE : Int32Array.from(row.keys()))))
  const values = new Float32Array(2 * lists.ids.length)
  let next = 0
  for (const row of edits) {
    for (const edit of row?.values() ?? []) {
      const [penalty, addend] = edit
      values.set([bounded(penalty), addend === -Infinity ? addend : Math.max(-MOST, Math.min(MOST, addend))], next)
      next += 2
    }
  }
  return { ...lists, values }
}

const allowedTokens = (drawn: ReadonlyArray<Draw>): TokenLists | undefined => {
  const allowed = drawn.map(({ row }) => row.group.allowed)
  return allowed.every((row) => row === undefined) ? undefined : tokenLists(allowed.map((row) => row ?? NONE))
}

const NONE = new Int32Array(0)

const tokenLists = (lists: ReadonlyArray<Int32Array>): TokenLists => {
  const starts = new Int32Array(lists.length + 1)
  lists.forEach(({ length }, i) => (starts[i + 1] = starts[i]! + length))
  const ids = new Int32Array(starts.at(-1)!)
  lists.forEach((list, i) => ids.set(list, starts[i]))
  return { starts, ids }
}
