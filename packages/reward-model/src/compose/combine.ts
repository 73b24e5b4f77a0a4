import { Effect } from "effect"
import type { JudgedGroup, RewardPart } from "../reward-request.ts"
import { judgement, type PartName, type RewardMemory, type RewardShape } from "../reward-shape.ts"
import type { Normaliser, Normalisation, PartValues } from "./normaliser.ts"

export interface Range {
  readonly min: number
  readonly max: number
}

/** A reward among others. */
export interface RewardTerm {
  readonly reward: RewardShape
  /** Times the weights of its parts; 1 when absent. */
  readonly weight?: number
  /** Put before the names of its parts, with a slash; nothing when absent. */
  readonly name?: string
  /** Of each of its parts; as the reward says them when absent. */
  readonly normalise?: Normalisation
  /** Bounds of each part, once normalised. */
  readonly clip?: Range
}

export interface CombineOptions {
  /** Bounds of the whole reward. */
  readonly clip?: Range
}

/** A part of a term, and how its values change. */
interface Channel extends PartName {
  readonly normaliser: Normaliser | undefined
  readonly clip: Range | undefined
}

/**
 * Several rewards as one: Σ over terms and their parts of weight · value, each part normalised and clipped apart. They are
 * asked at the same time; where one abstains on a response, so does the whole. Throws where two parts have one name.
 */
export const combine = (terms: ReadonlyArray<RewardTerm>, { clip }: CombineOptions = {}): RewardShape => {
  const channels = terms.map(channelsOf)
  const parts = channels.flat().map(({ name, weight }) => ({ name, weight }))
  const twice = parts.find(({ name }, i) => parts.findIndex((other) => other.name === name) < i)
  if (twice !== undefined) throw new RangeError(`two parts are named "${twice.name}": name a term`)
  return {
    parts,
    judge: (groups) =>
      Effect.map(
        Effect.forEach(terms, ({ reward }) => reward.judge(groups), { concurrency: "unbounded" }),
        (judged) =>
          joined(
            judged.flatMap((term, t) => changed(term, channels[t]!)),
            groups,
            clip
          )
      ),
    ...memoryOf(terms, channels.flat())
  }
}

const channelsOf = ({
  clip,
  name: prefix,
  normalise,
  reward,
  weight: factor = 1
}: RewardTerm): ReadonlyArray<Channel> =>
  reward.parts.map(({ name, weight }) => ({
    name: prefix === undefined ? name : `${prefix}/${name}`,
    weight: factor * weight,
    normaliser: normalise?.(),
    clip
  }))

/** Each part of a term, for every response of every group. */
const changed = (
  groups: ReadonlyArray<JudgedGroup>,
  channels: ReadonlyArray<Channel>
): ReadonlyArray<ReadonlyArray<ReadonlyArray<RewardPart>>> =>
  channels.map(({ clip, name, normaliser, weight }, k) => {
    const said: PartValues = groups.map(({ responses }) => responses.map(({ parts }) => parts[k]!.value))
    const values = normaliser === undefined ? said : normaliser.apply(said)
    return groups.map(({ responses }, g) =>
      responses.map(({ parts }, r) => ({ name, weight, raw: parts[k]!.raw, value: within(values[g]![r], clip) }))
    )
  })

const joined = (
  parts: ReadonlyArray<ReadonlyArray<ReadonlyArray<RewardPart>>>,
  groups: ReadonlyArray<{ readonly responses: ReadonlyArray<unknown> }>,
  clip: Range | undefined
): ReadonlyArray<JudgedGroup> =>
  groups.map(({ responses }, g) => ({
    responses: responses.map((_, r) => {
      const whole = judgement(parts.map((part) => part[g]![r]!))
      return { ...whole, reward: within(whole.reward, clip) }
    })
  }))

const within = (value: number | undefined, range: Range | undefined): number | undefined =>
  value === undefined || range === undefined ? value : Math.min(range.max, Math.max(range.min, value))

/** Of the parts' normalisers and of the terms themselves, by name. */
const memoryOf = (
  terms: ReadonlyArray<RewardTerm>,
  channels: ReadonlyArray<Channel>
): { readonly memory?: RewardMemory } => {
  const own = channels.flatMap(({ name, normaliser }) => {
    const memory = normaliser?.memory
    return memory === undefined
      ? []
      : [{ name, read: Effect.sync(memory.read), restore: (m: Remembered) => Effect.sync(() => memory.restore(m)) }]
  })
  const inner = terms.flatMap(({ reward: { memory } }, t) =>
    memory === undefined ? [] : [{ name: `term ${t}`, ...memory }]
  )
  const all = [...own, ...inner]
  if (all.length === 0) return {}
  return {
    memory: {
      read: Effect.map(
        Effect.forEach(all, ({ name, read }) => Effect.map(read, (memory) => prefixed(name, memory))),
        (memories) => Object.assign({}, ...memories) as Remembered
      ),
      restore: (memory) =>
        Effect.forEach(all, ({ name, restore }) => restore(unprefixed(name, memory)), { discard: true })
    }
  }
}

type Remembered = Readonly<Record<string, number>>

const prefixed = (name: string, memory: Remembered): Remembered =>
  Object.fromEntries(Object.entries(memory).map(([key, value]) => [`${name}: ${key}`, value]))

const unprefixed = (name: string, memory: Remembered): Remembered =>
  Object.fromEntries(
    Object.entries(memory).flatMap(([key, value]) =>
      key.startsWith(`${name}: `) ? [[key.slice(name.length + 2), value]] : []
    )
  )
