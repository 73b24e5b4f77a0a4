/** What is known of the R responses of a rollout once they are rewarded; host data. */
export interface RewardedResponses {
  /** [R] number of the prompt each one answers */
  readonly groups: Int32Array
  /** [R] reward of the whole response, after shaping; without penalties by token */
  readonly rewards: Float64Array
  /** [R] each part of the reward, by name */
  readonly parts: Readonly<Record<string, Float64Array>>
  /** Each response's tokens, 1 = the policy wrote it and the loss counts it. A response may have none. */
  readonly masks: ReadonlyArray<Uint8Array>
  /** Added to the reward of each token, such as −β·KL; nothing where absent. */
  readonly tokenRewards?: ReadonlyArray<Float64Array> | undefined
  /** [R] 1 where the response came to an end by itself */
  readonly ended: Uint8Array
  /** What the critic expects from each token on; where an advantage needs them. */
  readonly values?: ReadonlyArray<ArrayLike<number>> | undefined
  /** [R] reward of the greedy response to the same prompt; where an advantage needs them */
  readonly greedyRewards?: Float64Array | undefined
}

/** How much better than expected each token was; tokens that do not count hold 0. */
export interface Advantages {
  readonly tokens: ReadonlyArray<Float64Array>
  /** What the critic is to expect from each token on; where the advantage has a critic. */
  readonly returns?: ReadonlyArray<Float64Array>
}

/** A credit assignment: a value, made by a constructor with its options. A pure function of a whole rollout. */
export interface Advantage {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** What it must be given besides rewards. */
  readonly needs?: "values" | "greedy"
  /** Responses that a prompt needs at least; 1 when absent. */
  readonly leastGroup?: number
  readonly of: (responses: RewardedResponses) => Advantages
}

/** [R] rewards with the penalties of all counted tokens. */
export const totalRewards = ({ masks, rewards, tokenRewards }: RewardedResponses): Float64Array =>
  tokenRewards === undefined
    ? rewards
    : rewards.map((reward, r) => reward + tokenRewards[r]!.reduce((sum, own, t) => sum + own * masks[r]![t]!, 0))

/** The same number for every counted token of a response. */
export const everyToken = (
  numbers: ArrayLike<number>,
  { masks }: Pick<RewardedResponses, "masks">
): ReadonlyArray<Float64Array> => masks.map((mask, r) => Float64Array.from(mask, (counts) => counts * numbers[r]!))

/** Rows of each group, in the order in which groups first occur. */
export const groupRows = (groups: Int32Array): ReadonlyArray<ReadonlyArray<number>> => {
  const rows = new Map<number, Array<number>>()
  groups.forEach((group, row) => {
    const own = rows.get(group)
    if (own === undefined) rows.set(group, [row])
    else own.push(row)
  })
  return [...rows.values()]
}

/** One number a row, from all of its group. @param of the rows' numbers, in the group's order */
export const byGroup = (groups: Int32Array, of: (rows: ReadonlyArray<number>) => ArrayLike<number>): Float64Array => {
  const numbers = new Float64Array(groups.length)
  for (const rows of groupRows(groups)) {
    const own = of(rows)
    rows.forEach((row, i) => (numbers[row] = own[i]!))
  }
  return numbers
}

export const mean = (numbers: ArrayLike<number>): number =>
  Array.from(numbers).reduce((sum, number) => sum + number, 0) / numbers.length

/** Sample standard deviation (n − 1); 0 of a single number. */
export const deviation = (numbers: ArrayLike<number>): number => {
  if (numbers.length < 2) return 0
  const middle = mean(numbers)
  const squares = Array.from(numbers).reduce((sum, number) => sum + (number - middle) ** 2, 0)
  return Math.sqrt(squares / (numbers.length - 1))
}
