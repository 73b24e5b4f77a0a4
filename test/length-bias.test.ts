import { collate } from "@plumbline/data"
import { createScalarModel, type DecoderTable, llama, type ScalarModel } from "@plumbline/models"
import {
  bradleyTerry,
  type GradedRows,
  pairwiseObjective,
  regressionObjective,
  type ScoredPairs
} from "@plumbline/reward-model"
import { ModelRuntime, philoxStream, tf } from "@plumbline/runtime"
import { accumulate, adamw, type MicroBatch, type Objective } from "@plumbline/training"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"

/** A response whose quality is the share of its tokens that are good; length and quality know nothing of each other. */
interface Response {
  readonly ids: Int32Array
  readonly quality: number
  /** In [0, 1]. */
  readonly length: number
}

const [BOS, EOS, GOOD, BAD] = [1, 2, 3, 8]
const [SHORTEST, LONGEST] = [4, 24]

const responses = (count: number, seed: number): ReadonlyArray<Response> => {
  const { uniform } = philoxStream(seed, "responses")
  return Array.from({ length: count }, (_, i) => {
    const draw = (place: number) => uniform(64 * i + place)
    const size = SHORTEST + Math.floor(draw(0) * (LONGEST - SHORTEST + 1))
    const good = Math.round(draw(1) * size)
    const keys = Array.from({ length: size }, (_, t) => draw(2 + t))
    const least = keys.toSorted((a, b) => a - b)[good] ?? Infinity
    const tokens = keys.map((key, t) => (key < least ? GOOD : BAD) + (t % 5))
    return {
      ids: Int32Array.from([BOS, ...tokens, EOS]),
      quality: good / size,
      length: (size - SHORTEST) / (LONGEST - SHORTEST)
    }
  })
}

/** What people say of a response who like long ones by `leak`. */
const judged = ({ length, quality }: Response, leak: number): number => quality + leak * length

const table: DecoderTable = {
  family: llama,
  vocabulary: 13,
  width: 16,
  layers: 1,
  heads: 2,
  mlpWidth: 32,
  maxPositions: 32,
  settings: { initializer_range: 0.1 }
}

const laidOut = (rows: ReadonlyArray<Response>) =>
  collate(
    rows.map(({ ids }) => ({ ids, lossMask: new Uint8Array(ids.length) })),
    { layout: "packed", padId: 0 }
  )

const origins = (count: number) => Array.from({ length: count }, (_, i) => `row ${i}`)

/** Pairs put in order by what people say. */
const pairsOf = (rows: ReadonlyArray<Response>, leak: number): ScoredPairs => {
  const pairs = Array.from({ length: rows.length / 2 }, (_, i) => [rows[2 * i]!, rows[2 * i + 1]!] as const)
  const ordered = pairs.map(([a, b]) => (judged(a, leak) >= judged(b, leak) ? [a, b] : [b, a]))
  return {
    pairs: pairs.length,
    rows: laidOut([...ordered.map(([better]) => better!), ...ordered.map(([, worse]) => worse!)]),
    margins: new Float32Array(pairs.length),
    strengths: new Float32Array(pairs.length),
    tokens: rows.reduce((sum, { ids }) => sum + ids.length, 0),
    origins: origins(pairs.length)
  }
}

const gradesOf = (rows: ReadonlyArray<Response>, leak: number): GradedRows => ({
  rows: laidOut(rows),
  attributes: ["helpfulness", "verbosity"],
  // every fifth row lacks one of its grades
  grades: Float32Array.from(
    rows.flatMap((row, i) => [i % 5 === 0 ? NaN : judged(row, leak), i % 5 === 1 ? NaN : row.length])
  ),
  tokens: rows.reduce((sum, { ids }) => sum + ids.length, 0),
  origins: origins(rows.length)
})

const STEPS = 250
const ROWS = 64

const trained = <B extends MicroBatch>(
  attributes: ReadonlyArray<string>,
  objective: Objective<{ readonly reward: ScalarModel }, B>,
  batch: (rows: ReadonlyArray<Response>) => B
): ScalarModel => {
  const data = responses(STEPS * ROWS, 7)
  const reward = createScalarModel(table, { attributes, pooling: "last" }, 1)
  const optimizer = adamw({ reward }, { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0 })
  for (let step = 0; step < STEPS; step++) {
    const { gradients } = accumulate(objective, { reward }, [batch(data.slice(step * ROWS, (step + 1) * ROWS))])
    optimizer.apply(gradients, 5e-3 * (1 - step / STEPS), 1)
    tf.dispose(gradients)
  }
  return reward
}

/** Share of pairs whose better response, in truth, scores higher. @param adversarial only pairs whose better one is shorter */
const accuracy = (model: ScalarModel, weights: ReadonlyArray<number>, adversarial: boolean): number => {
  const rows = responses(2000, 999_983)
  const scores = tf.tidy(() => [
    ...tf.sum(tf.mul(model.rowScores(laidOut(rows)), tf.tensor1d([...weights])), 1).dataSync()
  ])
  const pairs = Array.from({ length: rows.length / 2 }, (_, i) => 2 * i).filter((a) => {
    const [quality, length] = [rows[a]!.quality - rows[a + 1]!.quality, rows[a]!.length - rows[a + 1]!.length]
    return quality !== 0 && (!adversarial || quality * length < 0)
  })
  const right = pairs.filter((a) => (scores[a]! - scores[a + 1]!) * (rows[a]!.quality - rows[a + 1]!.quality) > 0)
  return right.length / pairs.length
}

describe("a liking for long responses", () => {
  it("is learnt by Bradley-Terry, and taken out of attributes by a negative weight of verbosity, at a price where there is none", async () => {
    const run = Effect.sync(() => {
      const measured = [1, 0].map((leak) => {
        const pairwise = trained(["reward"], pairwiseObjective(bradleyTerry()), (rows) => pairsOf(rows, leak))
        const attributes = trained(["helpfulness", "verbosity"], regressionObjective, (rows) => gradesOf(rows, leak))
        const found = {
          pairwise: accuracy(pairwise, [1], true),
          attributes: accuracy(attributes, [1, -1], true),
          everyPair: { pairwise: accuracy(pairwise, [1], false), attributes: accuracy(attributes, [1, -1], false) }
        }
        pairwise.dispose()
        attributes.dispose()
        return found
      })
      return measured
    })
    const [leaking, sound] = await Effect.runPromise(run.pipe(Effect.provide(ModelRuntime.layerWasm)))
    // seen: 0.971 against 0.458 of the adversarial pairs, 0.980 against 0.750 of all; chance is 0.5
    expect(leaking!.attributes).toBeGreaterThan(0.93)
    expect(leaking!.pairwise).toBeLessThan(0.6)
    // where nobody likes length, taking it out costs: seen 0.995 of all pairs before, 0.736 after; ¾ is what q − l gets right
    expect(sound!.everyPair.pairwise).toBeGreaterThan(0.97)
    expect(sound!.everyPair.attributes).toBeLessThan(0.8)
    expect(sound!.everyPair.attributes).toBeGreaterThan(0.68)
  })
})
