import { it } from "@effect/vitest"
import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import type { JudgedGroup, RewardGroup, RewardRule, RewardShape } from "@plumbline/reward-model"
import { embedding, tf, type Tensor, type Tensor1D, type Tensor2D, tokenLogProbs } from "@plumbline/runtime"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { late, runOnline } from "../testing/online-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, unevenRows } from "../testing/small-models.ts"
import { better, bradleyTerry, shareWon } from "./duel-preference.ts"
import { nashMd, nashMdObjective } from "./nash-md.ts"
import type { OwnBatch } from "./own-responses.ts"

type Table = ReadonlyArray<ReadonlyArray<number>>

const batchOf = (
  responses: ReadonlyArray<ReturnType<typeof row>>,
  preferences: ReadonlyArray<number>,
  reference: ReadonlyArray<number>
): OwnBatch => ({
  responses,
  rows: collate(responses, { layout: "packed", padId: 0 }),
  referenceLogProbs: Float32Array.from(reference),
  values: Float32Array.from(preferences),
  tokens: responses.reduce((sum, { ids }) => sum + ids.length, 0),
  origins: responses.map((_, i) => `row ${i}`)
})

/** A policy whose next token depends on the current one alone. @param logits [V, V] */
const tabular = (logits: Tensor2D): CausalLM =>
  ({
    tokenLogProbs: ({ scored, tokens }: OwnBatch["rows"]) =>
      tokenLogProbs(
        embedding(
          logits,
          scored.index.map((i) => tokens[i]!)
        ),
        tf.eye(logits.shape[0]) as Tensor2D,
        scored.targets
      )
  }) as never as CausalLM

const softmax = (logits: ReadonlyArray<number>): ReadonlyArray<number> => {
  const odds = logits.map(Math.exp)
  const total = odds.reduce((sum, value) => sum + value, 0)
  return odds.map((value) => value / total)
}

/** Σ_y weight(y)·L(y) and its slope in the logits, flat; the objective's own losses. */
const expectedLoss = (beta: number, logits: Table, batch: OwnBatch, weights: ReadonlyArray<number>) =>
  tf.tidy(() => {
    const loss = (given: Tensor) => {
      const { terms } = nashMdObjective({ beta }).loss(
        { policy: tabular(given as Tensor2D) },
        batch,
        undefined as never
      )
      return tf.sum(tf.mul(terms[0]!.values as Tensor1D, tf.tensor1d([...weights])))
    }
    return [
      ...tf
        .grad(loss)(tf.tensor2d(logits.map((line) => [...line])))
        .dataSync()
    ]
  })

describe("the loss", () => {
  // transitions 0 → (½, ¼, ¼), 1 → (0.1, 0.2, 0.7): log π(1 2 | 0) = ln(¼·0.7) = −1.7429693
  const table = [
    [0.5, 0.25, 0.25],
    [0.1, 0.2, 0.7],
    [1 / 3, 1 / 3, 1 / 3]
  ]
  const logits = table.map((line) => line.map(Math.log))
  const value = (preference: number, reference: number) =>
    tf.tidy(() => {
      const policy = tabular(tf.tensor2d(logits))
      const batch = batchOf([row([0, 1, 2], 1)], [preference], [reference])
      const { metrics, terms } = nashMdObjective({ beta: 0.1 }).loss({ policy }, batch, undefined as never)
      const kl = metrics!["kl"] as { readonly values: Tensor }
      return [terms[0]!.values.dataSync()[0]!, kl.values.dataSync()[0]!]
    })

  onWasm("is −(P − ½ − τ·log-ratio)·log π, summed over the response", () => {
    // log-ratio −1.7429693 + 2 = 0.2570307: −(0.9 − 0.5 − 0.02570307)·(−1.7429693), −(0.2 − 0.5 − 0.02570307)·(−1.7429693)
    expectClose(value(0.9, -2), [0.652388, 0.2570307], 1e-6)
    expectClose(value(0.2, -2), [-0.56769, 0.2570307], 1e-6)
    // an even duel at policy = reference pulls nowhere
    expectClose(value(0.5, Math.log(0.25 * 0.7)), [0, 0], 1e-6)
  })

  // nine responses of two tokens after token 0; the preference is no function of two rewards
  const responses = [0, 1, 2].flatMap((first) => [0, 1, 2].map((second) => [first, second] as const))
  const preference = (y: number, other: number): number =>
    y === other ? 0.5 : (other - y + 9) % 9 < 5 ? 0.9 - 0.05 * ((y * other) % 3) : 0.1 + 0.05 * ((y * other) % 3)
  const start: Table = [
    [0.3, -0.4, 0.9],
    [1.1, 0.2, -0.5],
    [-0.7, 0.6, 0.1]
  ]
  const reference: Table = [
    [0, 0.5, -0.2],
    [0.4, -0.3, 0.2],
    [0.1, 0.1, 0.8]
  ]
  const logProbs = (given: Table): ReadonlyArray<number> =>
    responses.map(([first, second]) => Math.log(softmax(given[0]!)[first]! * softmax(given[first]!)[second]!))
  const mixed = (policy: Table, share: number): Table =>
    policy.map((line, i) => line.map((logit, v) => (1 - share) * logit + share * reference[i]![v]!))

  onWasm("has the slope of P(π ≻ π′) − τ·KL(π ‖ π_ref), by enumeration of all responses", () => {
    const [beta, share] = [0.3, 0.4]
    const opponent = logProbs(mixed(start, share)).map(Math.exp)
    const wins = responses.map((_, y) => opponent.reduce((sum, p, other) => sum + p * preference(y, other), 0))
    const against = logProbs(reference)
    const goal = (policy: Table) =>
      logProbs(policy).reduce((sum, lp, y) => sum + Math.exp(lp) * (wins[y]! - beta * (lp - against[y]!)), 0)
    const moved = (i: number, v: number, by: number) =>
      start.map((line, a) => line.map((logit, b) => (a === i && b === v ? logit + by : logit)))
    const slopes = start.flatMap((line, i) =>
      line.map((_, v) => -(goal(moved(i, v, 1e-5)) - goal(moved(i, v, -1e-5))) / 2e-5)
    )
    const batch = batchOf(
      responses.map(([first, second]) => row([0, first, second], 1)),
      wins,
      against
    )
    const own = logProbs(start).map(Math.exp)
    expectClose(expectedLoss(beta, start, batch, own), slopes, 2e-6)
    expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(0.02)
  })
})

describe("rock, paper, scissors", () => {
  // paper beats rock for sure, rock scissors and scissors paper three times in four: the equilibrium is ¼ ¼ ½
  const beats = [
    [0.5, 0, 0.75],
    [1, 0.5, 0.25],
    [0.25, 0.75, 0.5]
  ]
  const winsAgainst = (policy: ReadonlyArray<number>) =>
    beats.map((line) => line.reduce((sum, chance, other) => sum + chance * policy[other]!, 0))
  /** How much more than half the best answer to a policy wins. */
  const exploitability = (policy: ReadonlyArray<number>) => Math.max(...winsAgainst(policy)) - 0.5
  const moves = [0, 1, 2].map((move) => row([0, move], 1))
  const reference = [1 / 3, 1 / 3, 1 / 3].map(Math.log)

  /** Plain descent on the objective's expected loss from a policy that nearly always takes rock. */
  const played = (beta: number, share: number, steps: number): ReadonlyArray<number> => {
    let logits: ReadonlyArray<number> = [2, 0, -1]
    for (let step = 0; step < steps; step++) {
      const opponent = softmax(logits.map((logit) => (1 - share) * logit))
      const batch = batchOf(moves, winsAgainst(opponent), reference)
      const slopes = expectedLoss(beta, [logits, [0, 0, 0], [0, 0, 0]], batch, softmax(logits))
      logits = logits.map((logit, v) => logit - 4 * slopes[v]!)
    }
    return softmax(logits)
  }

  onWasm("ends where no answer wins more than the pull to the reference allows", () => {
    const [beta, share] = [0.05, 0.125]
    const policy = played(beta, share, 300)
    // a fixed point of the mirror map: log π = P(· ≻ π′)/τ + log π_ref + constant, of which differences remain
    const wins = winsAgainst(softmax(policy.map((p) => (1 - share) * Math.log(p))))
    const constants = policy.map((p, y) => Math.log(p) - wins[y]! / beta)
    expectClose(constants, [constants[0]!, constants[0]!, constants[0]!], 2e-3)
    expectClose(policy, [0.25, 0.25, 0.5], 0.05)
    expect(exploitability(policy)).toBeLessThan(0.025)
  })

  onWasm("goes round and round without pull and mixture", () => {
    expect(exploitability(played(0, 0, 200))).toBeGreaterThan(0.2)
  })
})

describe("nash-md", () => {
  const sevens: RewardRule = { name: "sevens", score: ({ ids }) => ids.filter((id) => id === 7).length / ids.length }
  const likesSevens = (policy: CausalLM): number =>
    tf.tidy(
      () =>
        tf
          .sum(policy.tokenLogProbs(collate([row([1, 7, 7, 7], 1)], { layout: "packed", padId: 0 })).logProbs)
          .dataSync()[0]!
    )
  const algorithm = nashMd({ seed: 3, sampling: { maxNewTokens: 5 }, beta: 0.05, preference: better })

  it.live("raises the reward of which the preference speaks, and wins against the reference", () =>
    Effect.gen(function* () {
      const run = { rules: [sevens], mixture: 1 }
      const start = yield* runOnline(algorithm, { ...run, steps: 1, learningRate: 1e-30 }, likesSevens)
      const { seen, steps } = yield* runOnline(algorithm, { ...run, steps: 60, learningRate: 0.01 }, likesSevens)
      expect(steps[0]!["kl"]).toBeCloseTo(0, 5)
      expect(seen).toBeGreaterThan(start.seen + 1)
      expect(late(steps, "preference", 10)).toBeGreaterThan(0.7)
    })
  )

  it.live("moves no weight where no duel was judged", () =>
    Effect.gen(function* () {
      const abstains = (group: RewardGroup): JudgedGroup => ({
        responses: group.responses.map(() => ({ reward: undefined, parts: [] }))
      })
      const judge: RewardShape = { parts: [], judge: (groups) => Effect.succeed(groups.map(abstains)) }
      const { steps } = yield* runOnline(algorithm, { judge, mixture: 0.5, steps: 2 })
      for (const metrics of steps) expect("grad_norm" in metrics || "preference" in metrics).toBe(false)
    })
  )

  objectiveLaws("nash-md", {
    objective: nashMdObjective({ beta: 0.1 }),
    models: () => ({ policy: smallModel() }),
    splits: () =>
      [
        [[0, 1, 2, 3, 4, 5]],
        [
          [0, 1],
          [2, 3, 4, 5]
        ],
        [[5], [4, 0, 3], [2, 1]]
      ].map((split) =>
        split.map((units) =>
          batchOf(
            units.map((i) => unevenRows[i]!),
            units.map((i) => [0.9, 0, 0.5, 1, 0.2, 0.7][i]!),
            units.map((i) => -3 - i)
          )
        )
      )
  })
})

it("reads a preference off rewards", () => {
  expect([better.of(2, 1), better.of(1, 2), better.of(1, 1)]).toEqual([1, 0, 0.5])
  // σ(1.5)
  expect(bradleyTerry.of(2, 0.5)).toBeCloseTo(0.8175745, 6)
  expect(shareWon.of(0.75, 0.25)).toBe(0.75)
})
