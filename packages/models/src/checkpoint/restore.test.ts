import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime, type Tensor, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import { createModel } from "../create-model.ts"
import { tinyModel, tinyTable } from "../testing/index.ts"
import { weightsDigest } from "./digest.ts"
import { tensorValues } from "../safetensors/stored-tensor.ts"
import { readTensors, restoreWeights, writeTensors } from "./restore.ts"
import { saveModel } from "./save.ts"

let workspace: string
beforeAll(() => void (workspace = mkdtempSync(join(tmpdir(), "models-restore-"))))
afterAll(() => rmSync(workspace, { recursive: true }))

const onWasm = <A, E>(name: string, body: () => Effect.Effect<A, E, ModelRuntime>) =>
  it.effect(name, () => Effect.provide(Effect.suspend(body), ModelRuntime.layerWasm))

describe("restoreWeights", () => {
  onWasm("sets the variables a model already has", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "model")
      const [saved, model] = [tinyModel(1), tinyModel(2)]
      yield* saveModel(saved, folder)
      const [variables, before] = [[...model.variables], tf.memory().numTensors]
      yield* restoreWeights(model, folder)
      expect(model.variables).toEqual(variables)
      expect(tf.memory().numTensors).toBe(before)
      expect(yield* weightsDigest(model)).toBe(yield* weightsDigest(saved))
      saved.dispose()
      model.dispose()
    })
  )

  onWasm("refuses another architecture and changes nothing", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "other")
      const [saved, model] = [createModel({ ...tinyTable, mlpWidth: 28 }, 1), tinyModel(2)]
      yield* saveModel(saved, folder)
      const before = yield* weightsDigest(model)
      expect(yield* Effect.flip(restoreWeights(model, folder))).toMatchObject({
        _tag: "TensorShapeMismatch",
        tensor: "model.layers.0.mlp.gate_proj.weight",
        expected: [24, 16],
        found: [28, 16]
      })
      expect(yield* weightsDigest(model)).toBe(before)
      saved.dispose()
      model.dispose()
    })
  )
})

describe("writeTensors, then readTensors", () => {
  onWasm("gives the same names, shapes and bits", () =>
    Effect.gen(function* () {
      const file = join(workspace, "moments.safetensors")
      const values = Float32Array.of(1 / 3, -0, 1e-45, 3.4e38, Infinity, 7)
      const written = new Map<string, Tensor>([
        ["m", tf.tensor(values, [2, 3])],
        ["empty", tf.zeros([0, 4])],
        ["scalar", tf.scalar(2)]
      ])
      yield* writeTensors(file, new Map([...written].map(([name, tensor]) => [name, tensorValues(tensor)])))
      const read = yield* readTensors(file)
      expect([...read].map(([name, { shape }]) => [name, shape])).toEqual([
        ["m", [2, 3]],
        ["empty", [0, 4]],
        ["scalar", []]
      ])
      const found = read.get("m")!.dataSync() as Float32Array
      expect(new Uint32Array(found.slice().buffer)).toEqual(new Uint32Array(values.buffer))
      tf.dispose([...written.values(), ...read.values()])
    })
  )

  onWasm("fails where the file exists, and where it cannot be", () =>
    Effect.gen(function* () {
      const file = join(workspace, "there")
      writeFileSync(file, "")
      expect((yield* Effect.flip(writeTensors(file, new Map()))).message).toContain("is a file")
      expect((yield* Effect.flip(readTensors(join(workspace, "absent")))).message).toContain("no such file")
    })
  )
})
