import { philoxStream } from "../random.ts"

/** Whole numbers for shapes; the same at every run. */
export interface Draw {
  /** From `least` to `most`, both included. */
  readonly whole: (least: number, most: number) => number
  readonly one: <A>(list: ReadonlyArray<A>) => A
}

export const drawOf = (name: string): Draw => {
  const stream = philoxStream(23, name)
  let next = 0
  const whole = (least: number, most: number) => least + Math.floor(stream.uniform(next++) * (most - least + 1))
  return { whole, one: (list) => list[whole(0, list.length - 1)]! }
}

/** `count` values made from as many draws. */
export const drawn = <A>(name: string, count: number, make: (draw: Draw) => A): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => make(drawOf(`${name} ${i}`)))
