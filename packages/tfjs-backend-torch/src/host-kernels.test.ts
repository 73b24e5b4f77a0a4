import { execFile } from "node:child_process"
import { mkdtemp, readFile, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { addonPath, loadAddon } from "./addon.ts"
import { registerTorchKernel } from "./kernel.ts"
import { registerTorchBackend } from "./register.ts"

const values = (tensor: tf.Tensor) => [...(tensor.dataSync() as ArrayLike<unknown> as Array<unknown>)]

describe.skipIf(addonPath() === undefined)("kernels that run on the host", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  it("move strings as they move numbers, without a word about other backends", () => {
    const warn = vi.spyOn(console, "warn")
    tf.tidy(() => {
      const x = tf.tensor2d(["a", "b", "c", "ä", "", "f"], [2, 3])
      expect(values(tf.slice(x, [0, 1], [2, 2]))).toEqual(["b", "c", "", "f"])
      expect(values(tf.tile(tf.slice(x, [1, 0], [1, 3]), [2, 1]))).toEqual(["ä", "", "f", "ä", "", "f"])
      expect(values(tf.concat([x, x], 0))).toHaveLength(12)
      expect(values(tf.stack([x, x])).slice(6, 8)).toEqual(["a", "b"])
      expect(values(tf.equal(x, tf.scalar("b")))).toEqual([0, 1, 0, 0, 0, 0])
    })
    expect(warn).not.toHaveBeenCalled()
  })

  it("split and hash strings, and name the tensors of a ragged gather", () => {
    tf.tidy(() => {
      const words = tf.string.stringSplit(tf.tensor1d(["to be", "or"]), tf.scalar(" "))
      expect([values(words["values"]!), values(words["shape"]!)]).toEqual([
        ["to", "be", "or"],
        [2, 2]
      ])
      // row 1 of [[1, 2], [3]]
      const rows = tf.raggedGather(
        [tf.tensor1d([0, 2, 3], "int32")],
        tf.tensor1d([1, 2, 3]),
        tf.tensor1d([1], "int32"),
        1
      )
      expect([values(rows.outputNestedSplits[0]!), values(rows.outputDenseValues)]).toEqual([[0, 1], [3]])
      const ids = tf.tensor1d([0, 0], "int32")
      const sums = tf.sparse.sparseSegmentSum(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor1d([0, 1], "int32"), ids)
      expect([sums.dtype, values(tf.neg(sums))]).toEqual(["float32", [-4, -6]])
    })
  })

  it("leave nothing behind, whether they end well or not", () => {
    const [alive, handles] = [tf.memory().numTensors, loadAddon().handleStatistics().handles]
    const backend = tf.backend()
    const ids = backend.numDataIds()
    tf.tidy(() => {
      const x = tf.tensor1d(["a b", "c"])
      const wrong = { input: x, delimiter: tf.tensor1d([" "]) }
      expect(() => tf.engine().runKernel("StringSplit", wrong, { skipEmpty: true })).toThrow(
        "Delimiter must be a scalar"
      )
      for (let i = 0; i < 3; i++) tf.slice(tf.string.stringSplit(x, tf.scalar(" "))["values"]!, [1])
    })
    expect([tf.memory().numTensors, loadAddon().handleStatistics().handles, backend.numDataIds()]).toEqual([
      alive,
      handles,
      ids
    ])
  })

  it("are those of the program's copy of tfjs, with no warning of kernels that are there already", async () => {
    const core = pathToFileURL(createRequire(import.meta.url).resolve("@tensorflow/tfjs-core")).href
    const register = pathToFileURL(`${import.meta.dirname}/register.ts`).href
    // another file is another copy, as in a project that links this package
    const copy = `${await mkdtemp(join(tmpdir(), "copy-"))}/cpu.cjs`
    const cpu = createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-cpu")
    const text = (await readFile(cpu, "utf8")).replaceAll(
      /require\('([^'.][^']*)'\)/g,
      (_, name: string) => `require(${JSON.stringify(createRequire(cpu).resolve(name))})`
    )
    await writeFile(copy, text)
    const program = `
      const tf = await import("${core}")
      const { registerTorchBackend } = await import("${register}")
      await import("${pathToFileURL(copy).href}")
      registerTorchBackend({ device: "cpu" })
      await tf.setBackend("torch")
      console.log(tf.string.stringSplit(tf.tensor1d(["a b"]), tf.scalar(" ")).values.dataSync().join("-"))`
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program])
    expect(await run).toEqual({ stdout: "a-b\n", stderr: "" })
  })

  it("say so where neither libtorch nor tfjs has something for strings", () => {
    registerTorchKernel("TestNumbers", ({ x }, _, scope) => scope.out(scope.of(x), x.dtype))
    tf.tidy(() => {
      const x = tf.tensor1d(["a"])
      expect(() => tf.engine().runKernel("TestNumbers", { x })).toThrow(
        expect.objectContaining({ name: "StringsStayOnHost" })
      )
    })
  })
})
