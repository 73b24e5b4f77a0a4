import { describe, expect, it } from "@effect/vitest"
import { collate, type RowLayout, type TokenRows } from "@plumbline/data"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { loadCausalLM } from "../checkpoint/load.ts"
import { saveModel } from "../checkpoint/save.ts"
import { createModel } from "../create-model.ts"
import { tinyTable } from "../testing/index.ts"
import { createScalarModel } from "./create-scalar-model.ts"
import type { Pooling } from "./head.ts"
import { hasHead, loadScalarModel } from "./load-scalar-model.ts"
import { readHead } from "./read-head.ts"
import type { ScalarModel } from "./scalar-model.ts"

const fixtures = fileURLToPath(new URL("../../../../test/fixtures/classifiers", import.meta.url))

type Ids = ReadonlyArray<number>

const laidOut = (rows: ReadonlyArray<Ids>, layout: RowLayout = "packed", padId = 0): TokenRows =>
  collate(
    rows.map((ids) => ({ ids: Int32Array.from(ids), lossMask: new Uint8Array(ids.length) })),
    { layout, padId }
  )

const rowScores = (model: ScalarModel, rows: TokenRows): ReadonlyArray<number> => [
  ...tf.tidy(() => model.rowScores(rows).dataSync())
]

const onWasm = <A, E>(effect: Effect.Effect<A, E, ModelRuntime>) => effect.pipe(Effect.provide(ModelRuntime.layerWasm))

const expectNear = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>, tolerance: number) => {
  expect(found.length).toBe(expected.length)
  expected.forEach((value, i) => expect(Math.abs(found[i]! - value)).toBeLessThan(tolerance))
}

describe("classifiers that transformers saved", () => {
  it.effect.each([
    ["llama", ["reward"]],
    ["qwen2-tied", ["helpfulness", "correctness", "verbosity"]]
  ] as const)("give transformers' logits: %s", ([name, attributes]) =>
    Effect.gen(function* () {
      const folder = join(fixtures, name)
      const before = tf.memory().numTensors
      const model = yield* loadScalarModel(folder, { name: "checked", trainable: false })
      expect(model.head).toEqual({ attributes, pooling: "last" })
      const { logits, rows } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as {
        readonly rows: ReadonlyArray<Ids>
        readonly logits: ReadonlyArray<Ids>
      }
      expectNear(rowScores(model, laidOut(rows)), logits.flat(), 1e-5)
      const tokens = tf.tidy(() => model.tokenScores(laidOut(rows), Int32Array.of(4, 17)).dataSync())
      expectNear([...tokens], [...logits[0]!, ...logits[2]!], 1e-5)
      model.dispose()
      expect(tf.memory().numTensors).toBe(before)
    }).pipe(onWasm)
  )
})

const rows = [[5, 9, 2], [7, 3, 11, 30, 6, 2, 8, 2], [4], [12, 13, 2]]

const heads: ReadonlyArray<readonly [Pooling, ReadonlyArray<string>]> = [
  ["last", ["reward"]],
  ["last", ["a", "b"]],
  ["mean", ["reward"]],
  ["mean", ["a", "b"]]
]

describe.each(heads)("scores of a row, from its %s state, of %s", (pooling, attributes) => {
  const withModel = (body: (model: ScalarModel) => void) =>
    onWasm(
      Effect.sync(() => {
        const model = createScalarModel(tinyTable, { attributes, pooling }, 3)
        body(model)
        model.dispose()
      })
    )

  it.effect("does not depend on padding, on either side, nor on the token it is, the end of a text included", () =>
    withModel((model) => {
      const alone = rows.flatMap((row) => rowScores(model, laidOut([row])))
      for (const layout of ["packed", "padded-right", "padded-left"] as const) {
        for (const padId of [0, 2, 31]) expectNear(rowScores(model, laidOut(rows, layout, padId)), alone, 2e-6)
      }
      const reversed = rows.toReversed().flatMap((row) => rowScores(model, laidOut([row])))
      expectNear(rowScores(model, laidOut(rows.toReversed())), reversed, 2e-6)
    })
  )

  it.effect("has gradients that no neighbour reaches", () =>
    withModel((model) => {
      const gradients = (batch: TokenRows, row: number) => {
        const { grads, value } = tf.variableGrads(
          () => tf.sum(tf.slice(model.rowScores(batch), [row, 0], [1, -1])).asScalar(),
          [...model.variables]
        )
        const values = Object.values(grads).flatMap((gradient) => [...gradient.dataSync()])
        tf.dispose([value, ...Object.values(grads)])
        return values
      }
      const alone = gradients(laidOut([rows[1]!]), 0)
      expect(Math.max(...alone.map(Math.abs))).toBeGreaterThan(1e-2)
      expectNear(gradients(laidOut(rows, "padded-left", 2), 1), alone, 2e-5)
    })
  )
})

describe("mean pooling", () => {
  it.effect("is the mean of the row's token scores", () =>
    Effect.sync(() => {
      const model = createScalarModel(tinyTable, { attributes: ["a"], pooling: "mean" }, 3)
      const scores = tf.tidy(() => [...model.tokenScores(laidOut([[5, 9, 2]]), Int32Array.of(0, 1, 2)).dataSync()])
      const mean = scores.reduce((sum, score) => sum + score, 0) / 3
      expectNear(rowScores(model, laidOut([[5, 9, 2]])), [mean], 1e-6)
      model.dispose()
    }).pipe(onWasm)
  )
})

describe("folders", () => {
  const inFolder = (body: (folder: string) => Effect.Effect<void, unknown, ModelRuntime>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-heads-"))),
      (folder) => body(join(folder, "model")),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(onWasm)

  it.effect("keep weights, names and pooling, and say what transformers is to open", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const model = createScalarModel(tinyTable, { attributes: ["good", "long"], pooling: "mean" }, 5)
        yield* saveModel(model, folder)
        const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"))
        expect(config.architectures).toEqual(["LlamaForSequenceClassification"])
        expect(config.id2label).toEqual({ 0: "good", 1: "long" })
        expect(yield* hasHead(folder)).toBe(true)
        const loaded = yield* loadScalarModel(folder, { name: "again", trainable: false })
        expect(loaded.head).toEqual(model.head)
        expect(rowScores(loaded, laidOut(rows))).toEqual(rowScores(model, laidOut(rows)))
        expect(Object.keys(loaded.variables)).toEqual([])
      })
    )
  )

  it.effect("and files give the weights of a head, which must fit", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const model = createScalarModel(tinyTable, { attributes: ["a", "b"], pooling: "last" }, 5)
        yield* saveModel(model, folder)
        const weights = [...model.parameters.get("score.weight")!.dataSync()]
        expect([...(yield* readHead(folder, 2, 16))]).toEqual(weights)
        expect([...(yield* readHead(join(folder, "model.safetensors"), 2, 16))]).toEqual(weights)
        const json = (content: unknown) => {
          writeFileSync(`${folder}.json`, JSON.stringify(content))
          return readHead(`${folder}.json`, 2, 2)
        }
        for (const content of [
          [1, 2, 3, 4],
          [
            [1, 2],
            [3, 4]
          ],
          { head_weight: [1, 2, 3, 4] }
        ]) {
          expect([...(yield* json(content))]).toEqual([1, 2, 3, 4])
        }
        expect((yield* Effect.flip(json([1, 2]))).message).toContain(
          "holds 2 numbers, and a head of 2 on 2 features has 4"
        )
        expect((yield* Effect.flip(json([1, 2, null, 4]))).message).toContain("holds no array of numbers")
        expect((yield* Effect.flip(json({ weight: [1, 2, 3, 4] })))._tag).toBe("HeadInvalid")
        expect((yield* Effect.flip(readHead(`${folder}-none.json`, 1, 1)))._tag).toBe("HeadInvalid")
      })
    )
  )

  it.effect("of language models need a head, get one, and lose their output matrix", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        yield* saveModel(createModel(tinyTable, 5), folder)
        const failure = yield* Effect.flip(loadScalarModel(folder, { name: "none", trainable: false }))
        expect(failure._tag).toBe("HeadMissing")
        const weights = Float32Array.from({ length: 16 }, (_, i) => i / 16)
        const head = { attributes: ["reward"], pooling: "last", seed: 1 } as const
        const given = yield* loadScalarModel(folder, {
          name: "given",
          trainable: true,
          head: { ...head, weights },
          padId: 0
        })
        expect([...given.parameters.get("score.weight")!.dataSync()]).toEqual([...weights])
        expect([...given.parameters.keys()]).not.toContain("lm_head.weight")
        expect(given.config.source["pad_token_id"]).toBe(0)
        const drawn = yield* loadScalarModel(folder, { name: "drawn", trainable: true, head, padId: 2 })
        // the seed and the name alone decide, as for any new parameter
        const again = createScalarModel(tinyTable, head, 1).parameters.get("score.weight")!
        expect([...drawn.parameters.get("score.weight")!.dataSync()]).toEqual([...again.dataSync()])
        // tinyTable's end of text is token 2: no padding by which transformers could find a row's end
        expect(drawn.config.source["pad_token_id"]).toBeUndefined()
        // and a head that is there is replaced where another is asked for
        yield* saveModel(given, `${folder}-2`)
        const other = yield* loadScalarModel(`${folder}-2`, {
          name: "o",
          trainable: false,
          head: { ...head, attributes: ["a", "b"] }
        })
        expect(other.parameters.get("score.weight")!.shape).toEqual([2, 16])
        expect((yield* Effect.flip(loadCausalLM(`${folder}-2`, { name: "lm", trainable: false })))._tag).toBe(
          "TensorMissing"
        )
      })
    )
  )
})
