import { type CausalLM } from "@plumbline/models"
import { tf, type Tensor2D } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe, expect } from "vitest"
import { taughtBatch } from "../testing/distillation-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, unevenRows, VOCABULARY } from "../testing/small-models.ts"
import { negativeLogLikelihood } from "../supervised/negative-log-likelihood.ts"
import { distillationObjective, type DistillationOptions } from "./distillation-objective.ts"
import {
  forwardDivergence,
  generalizedJensenShannon,
  reverseDivergence,
  symmetricDivergence
} from "./divergence-loss.ts"
import { outcomes, type TailRule, type TopLogits } from "./outcomes.ts"

const options = (changed: Partial<DistillationOptions> = {}): DistillationOptions => ({
  loss: forwardDivergence(),
  tail: "bucket",
  divergenceWeight: 1,
  crossEntropyWeight: 0,
  ...changed
})

/** log of both sides' outcomes for one token whose student has these probabilities. */
const logOutcomes = (teacher: TopLogits, student: ReadonlyArray<number>, tail: TailRule) =>
  tf.tidy(() => {
    const logits = tf.add(tf.log(tf.tensor2d([[...student]])), 3) as Tensor2D
    const both = outcomes(teacher, logits, 0, { tail })
    return { teacher: [...tf.exp(both.teacher).dataSync()], student: [...tf.exp(both.student).dataSync()] }
  })

const top = (...named: ReadonlyArray<readonly [id: number, probability: number]>): TopLogits => ({
  k: named.length,
  vocabulary: 4,
  ids: Int32Array.from(named, ([id]) => id),
  logProbs: Float32Array.from(named, ([, probability]) => Math.log(probability))
})

describe("what the teacher does not name", () => {
  const student = [0.1, 0.2, 0.3, 0.4]

  onWasm("is one more outcome, or left out and the rest made whole", () => {
    const named = top([2, 0.6], [0, 0.25])
    const bucket = logOutcomes(named, student, "bucket")
    expectClose(bucket.teacher, [0.6, 0.25, 0.15], 1e-5)
    expectClose(bucket.student, [0.3, 0.1, 0.6], 1e-5)
    const renormalized = logOutcomes(named, student, "renormalize")
    expectClose(renormalized.teacher, [0.6 / 0.85, 0.25 / 0.85], 1e-5)
    expectClose(renormalized.student, [0.75, 0.25], 1e-5)
  })

  onWasm("is nothing where it names the whole vocabulary", () => {
    const whole = top([3, 0.4], [1, 0.3], [0, 0.2], [2, 0.1])
    const both = logOutcomes(whole, student, "bucket")
    expectClose(both.teacher, [0.4, 0.3, 0.2, 0.1], 1e-5)
    expectClose(both.student, [0.4, 0.2, 0.1, 0.3], 1e-5)
  })
})

describe("distillation objective", () => {
  onWasm(
    "costs nothing where student and teacher are one, and otherwise the mean divergence of the scored tokens",
    () => {
      const [teacher, student] = [smallModel(11), smallModel()]
      const batch = taughtBatch(teacher, unevenRows, VOCABULARY)
      const own = evaluate(distillationObjective(options()), { policy: teacher }, [batch]).metrics
      expectClose([own["loss"]!], [0], 1e-5)
      const { metrics } = evaluate(distillationObjective(options({ crossEntropyWeight: 0.5 })), { policy: student }, [
        batch
      ])
      // by definition, from both models' whole distributions
      const expected = tf.tidy(() => {
        const { index } = batch.rows.scored
        const p = tf.logSoftmax(teacher.logits(batch.rows, index))
        const q = tf.logSoftmax(student.logits(batch.rows, index))
        const nll = tf.neg(tf.mean(student.tokenLogProbs(batch.rows).logProbs)).dataSync()[0]!
        return [tf.mean(tf.sum(tf.mul(tf.exp(p), tf.sub(p, q)), 1)).dataSync()[0]!, nll]
      })
      expectClose([metrics["kd_loss"]!, metrics["sft_loss"]!], expected, 1e-5)
      expectClose([metrics["loss"]!], [expected[0]! + 0.5 * expected[1]!], 1e-5)
      teacher.dispose()
      student.dispose()
    }
  )

  onWasm("is the same for more tokens than are computed at one time", () => {
    const [teacher, student] = [smallModel(11), smallModel()]
    // 16 scored tokens, and 400 of the same, in another order
    const many = Array.from({ length: 25 }, (_, i) => [
      ...unevenRows.slice(i % 6),
      ...unevenRows.slice(0, i % 6)
    ]).flat()
    const objective = distillationObjective(options({ crossEntropyWeight: 0.3 }))
    const step = (rows: typeof unevenRows) =>
      accumulate(objective, { policy: student }, [taughtBatch(teacher, rows, 3)])
    const [few, lot] = [step(unevenRows), step(many)]
    expectClose(
      [lot.metrics["loss"]!, lot.metrics["sft_loss"]!],
      [few.metrics["loss"]!, few.metrics["sft_loss"]!],
      1e-5
    )
    expectClose([lot.metrics["grad_norm"]!], [few.metrics["grad_norm"]!], 1e-4)
    tf.dispose([few.gradients, lot.gradients])
    teacher.dispose()
    student.dispose()
  })

  onWasm("lies below the divergence over the vocabulary where only K tokens are named, and nears it", () => {
    const [teacher, student] = [smallModel(11), smallModel()]
    const at = (k: number) => {
      const batch = taughtBatch(teacher, unevenRows, k)
      return evaluate(distillationObjective(options()), { policy: student }, [batch]).metrics["loss"]!
    }
    const [few, more, whole] = [at(1), at(6), at(VOCABULARY)]
    expect(few).toBeLessThan(more)
    expect(more).toBeLessThan(whole)
    expect(few).toBeGreaterThan(0)
    teacher.dispose()
    student.dispose()
  })

  onWasm("with cross-entropy alone is supervised fine-tuning, gradients too", () => {
    const [teacher, student] = [smallModel(11), smallModel()]
    const batch = taughtBatch(teacher, unevenRows, 2)
    const alone = options({ divergenceWeight: 0, crossEntropyWeight: 1 })
    const distilled = accumulate(distillationObjective(alone), { policy: student }, [batch])
    const imitated = accumulate(negativeLogLikelihood, { policy: student }, [batch])
    expectClose([distilled.metrics["loss"]!], [imitated.metrics["loss"]!], 1e-5)
    for (const { name } of student.variables) {
      const values = (gradients: typeof imitated.gradients) => [...gradients[name]!.dataSync()]
      expectClose(values(distilled.gradients), values(imitated.gradients), 1e-5)
    }
    tf.dispose([distilled.gradients, imitated.gradients])
    teacher.dispose()
    student.dispose()
  })

  onWasm("brings the student to the teacher by its gradient", () => {
    const [teacher, student] = [smallModel(11), smallModel()]
    const batch = taughtBatch(teacher, [row([1, 2, 3, 4], 1), row([7, 8], 1)], 4)
    const objective = distillationObjective(options({ loss: reverseDivergence() }))
    const { gradients, metrics: before } = accumulate(objective, { policy: student }, [batch])
    for (const variable of student.variables) {
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(0.02, gradients[variable.name]!))))
    }
    const { metrics } = evaluate(objective, { policy: student }, [batch])
    expect(metrics["loss"]).toBeLessThan(before["loss"]!)
    tf.dispose(gradients)
    teacher.dispose()
    student.dispose()
  })
})

const lawful = {
  "forward KL, top 3 and a bucket": options(),
  "symmetric KL, renormalised, with cross-entropy": options({
    loss: symmetricDivergence(),
    tail: "renormalize",
    logitsScale: 0.7,
    targetLogitsScale: 1.3,
    crossEntropyWeight: 0.5
  }),
  "Jensen-Shannon": options({ loss: generalizedJensenShannon({ beta: 0.3 }) })
}

for (const [name, chosen] of Object.entries(lawful)) {
  objectiveLaws(`distillation: ${name}`, {
    objective: distillationObjective(chosen),
    models: () => ({ policy: smallModel() as CausalLM }),
    splits: () => {
      const teacher = smallModel(11)
      const batch = (...args: readonly [typeof unevenRows, ("packed" | "padded-right" | "padded-left")?]) =>
        taughtBatch(teacher, args[0], 3, args[1])
      const splits = [
        [batch(unevenRows)],
        unevenRows.map((one) => batch([one])),
        [batch(unevenRows.slice(0, 2)), batch(unevenRows.slice(2))],
        [batch(unevenRows, "padded-right")],
        [batch(unevenRows, "padded-left")]
      ]
      teacher.dispose()
      return splits
    }
  })
}
