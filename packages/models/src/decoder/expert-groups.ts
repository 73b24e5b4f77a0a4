/** Which tokens go to which experts, those of an expert side by side. */
export interface ExpertGroups {
  /** [N·k] tokens, by expert, and in their order for each */
  readonly tokens: Int32Array
  /** [N·k] n·E + e of each: its place in a matrix of tokens and experts */
  readonly places: Int32Array
  /** [E] */
  readonly counts: ReadonlyArray<number>
}

/** @param chosen [N·k] the experts of each token */
export const expertGroups = (chosen: Int32Array, perToken: number, experts: number): ExpertGroups => {
  const counts = Array.from({ length: experts }, () => 0)
  for (const expert of chosen) counts[expert]!++
  const next: Array<number> = []
  counts.reduce((first, count) => (next.push(first), first + count), 0)
  const [tokens, places] = [new Int32Array(chosen.length), new Int32Array(chosen.length)]
  chosen.forEach((expert, i) => {
    const token = Math.floor(i / perToken)
    const to = next[expert]!++
    tokens[to] = token
    places[to] = token * experts + expert
  })
  return { tokens, places, counts }
}
