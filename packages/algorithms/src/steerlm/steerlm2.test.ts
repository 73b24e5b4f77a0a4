import { testTokenizer } from "@plumbline/data/testing"
import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, transitionModel } from "../testing/small-models.ts"
import { steerLm2Objective } from "./steerlm2.ts"
import { weightedBatch, weightedFiles, type WeightedUnit } from "./weighted-responses.ts"

const unit = (
  responses: ReadonlyArray<ReturnType<typeof row>>,
  weights: ReadonlyArray<number>,
  sampling: ReadonlyArray<number>,
  i = 0
): WeightedUnit => ({
  row: { responses, weights: Float32Array.from(weights), samplingLogProbs: Float32Array.from(sampling) },
  tokens: responses.reduce((total, { ids }) => total + ids.length, 0),
  origin: `prompt ${i}`
})

const packed = { layout: "packed", padId: 0 } as const

describe("SteerLM 2.0", () => {
  onWasm("is Σ (w − b)·nll / mean length, with the distance KL(w‖b)", () => {
    // prompt 0; responses 1 (P .5) and 1 2 (P .5·.3 = .15), 3 tokens in all; log Q′ of 0.25 and 0.3
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ])
    const one = unit([row([0, 1], 1), row([0, 1, 2], 1)], [0.4, 0.6], [Math.log(0.25), Math.log(0.3)])
    const { metrics } = evaluate(steerLm2Objective, { policy: policy as CausalLM }, [weightedBatch(packed, [one])])
    // b ∝ .5/.25 = 2 and .15/.3 = .5
    const [b1, b2] = [0.8, 0.2]
    const loss = ((0.4 - b1) * -Math.log(0.5) + (0.6 - b2) * -Math.log(0.15)) / 1.5
    expectClose([metrics["loss"]!], [loss], 1e-5)
    expectClose([metrics["distance"]!], [0.4 * Math.log(0.4 / b1) + 0.6 * Math.log(0.6 / b2)], 1e-5)
  })

  onWasm("has the gradient of KL(w‖b) / mean length: b is a constant in the loss and moves with the policy", () => {
    const policy = smallModel()
    const responses = [row([1, 2, 3, 4], 1), row([1, 5], 1), row([1, 6, 7], 1)]
    const batch = weightedBatch(packed, [unit(responses, [0.7, 0.1, 0.2], [-9, -2, -6])])
    const { gradients } = accumulate(steerLm2Objective, { policy }, [batch])
    const distance = () => evaluate(steerLm2Objective, { policy }, [batch]).metrics["distance"]!
    // along the gradient itself: d KL(w‖b) = L̄ · |gradient|² by a step of one gradient
    const squared = tf.tidy(() =>
      Object.values(gradients).reduce((sum, gradient) => sum + tf.sum(tf.square(gradient)).dataSync()[0]!, 0)
    )
    const step = 1e-3 / squared
    const move = (by: number) => {
      for (const variable of policy.variables) {
        tf.tidy(() => variable.assign(tf.add(variable, tf.mul(by, gradients[variable.name]!))))
      }
    }
    move(step)
    const up = distance()
    move(-2 * step)
    expectClose([(up - distance()) / (2 * step * squared)], [6 / 3], 2e-2)
    tf.dispose(gradients)
    policy.dispose()
  })

  onWasm("pulls no longer where b has reached w", () => {
    const policy = smallModel()
    const responses = [row([1, 2, 3, 4], 1), row([1, 5], 1)]
    // log Q′ = log Q, so b is uniform
    const own = responses.map((one) => {
      const { rows } = weightedBatch(packed, [unit([one, one], [1, 0], [0, 0])])
      const both = tf.tidy(() => tf.sum(policy.tokenLogProbs(rows).logProbs))
      const [value] = both.dataSync()
      both.dispose()
      return value! / 2
    })
    const { gradients, metrics } = accumulate(steerLm2Objective, { policy }, [
      weightedBatch(packed, [unit(responses, [0.5, 0.5], own)])
    ])
    expectClose([metrics["distance"]!, metrics["grad_norm"]!], [0, 0], 1e-4)
    tf.dispose(gradients)
    policy.dispose()
  })
})

const units = [
  unit([row([1, 2, 3, 4], 1), row([1, 5], 1)], [0.7, 0.3], [-9, -2]),
  unit([row([6, 7, 8], 2), row([6, 7, 1, 2, 3], 2)], [0.2, 0.8], [-3, -7], 1),
  unit([row([9, 1], 1), row([9, 12, 12], 1)], [1, 0], [-2, -5], 2)
]

objectiveLaws("SteerLM 2.0", {
  objective: steerLm2Objective,
  models: () => ({ policy: smallModel() }),
  splits: () => [
    [weightedBatch(packed, units)],
    units.map((one) => weightedBatch(packed, [one])),
    [weightedBatch({ layout: "padded-left", padId: 0 }, units)],
    [weightedBatch({ layout: "padded-right", padId: 0 }, units.slice(0, 2)), weightedBatch(packed, units.slice(2))]
  ]
})

describe("rows of NeMo-Aligner's form", () => {
  const folder = mkdtempSync(join(tmpdir(), "plumbline-steerlm2-"))
  const response = (value: string, a: number, p: number, q: number) => ({
    from: "Assistant",
    value,
    "log(P(a|x,y))": a,
    "log(P(y|x))": p,
    "log(Q(y|a,x))": q
  })
  const read = (...rows: ReadonlyArray<unknown>) => {
    const file = join(folder, "rows.jsonl")
    writeFileSync(file, rows.map((line) => JSON.stringify(line)).join("\n"))
    return weightedFiles.read(testTokenizer, file, { maxLength: 80, policy: "truncate" })
  }
  const question = { system: "S", prompt_turns: [{ from: "User", value: "Q" }], label: "quality:4" }

  it("become responses with weights from their three log-probs", async () => {
    const line = { ...question, responses: [response("A", -1, -2, -2.5), response("BB", -0.5, -4, -3)] }
    const { dataset } = await Effect.runPromise(read(line))
    const [group] = dataset.rows
    // logits −1 − 2 + 2.5 = −0.5 and −0.5 − 4 + 3 = −1.5
    const share = 1 / (1 + Math.exp(-1))
    expectClose([...group!.weights], [share, 1 - share], 1e-6)
    expect([...group!.samplingLogProbs]).toEqual([-2.5, -3])
    const learnt = (i: number) =>
      testTokenizer.decode(group!.responses[i]!.ids.filter((_, t) => group!.responses[i]!.lossMask[t] === 1))
    expect([learnt(0), learnt(1)].map((text) => text.replaceAll("\n", ""))).toEqual(["A<|im_end|>", "BB<|im_end|>"])
    expect(testTokenizer.decode(group!.responses[0]!.ids)).toContain("assistant\nquality:4\nA")
  })

  it("must have as many responses each, and more than one", async () => {
    const two = { ...question, responses: [response("A", -1, -2, -3), response("B", -1, -2, -3)] }
    const three = { ...question, responses: [...two.responses, response("C", -1, -2, -3)] }
    const odd = await Effect.runPromise(Effect.flip(read(two, three)))
    expect(odd.message).toMatch(/line 2: field "responses": has 3 responses, other prompts have 2/)
    const one = await Effect.runPromise(Effect.flip(read({ ...question, responses: two.responses.slice(1) })))
    expect(one.message).toContain("needs two responses or more")
  })
})
