import { byteTokenizer } from "@plumbline/data"
import { createModel, llama, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { root, torchIsSetUp } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-memory-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Little work and much memory: a token is 8 numbers in the residual stream and 8,192 within the block. */
const model = { family: llama, vocabulary: 257, width: 8, layers: 1, heads: 1, mlpWidth: 8192, maxPositions: 512 }

const makeModel = (output: string) =>
  Effect.gen(function* () {
    const { files } = byteTokenizer({ specials: ["<|im_end|>"] })
    yield* Effect.acquireUseRelease(
      Effect.sync(() => createModel(model, 1)),
      (made) => saveModel(made, output, { extraFiles: files }),
      (made) => Effect.sync(() => made.dispose())
    )
  }).pipe(Effect.provide(ModelRuntime.layerCpu), Effect.runPromise)

const BATCH = 64

/** Short rows, and one in the third batch to whose length the others are padded: then one activation takes 1008 MiB. */
const rows = Array.from({ length: 4 * BATCH }, (_, i) => ({
  prompt: `${i}`,
  completion: "abcdefgh"[i % 8]!.repeat(i === 2 * BATCH + 5 ? 500 : 6)
}))

/** KiB that a process may have for its data, by the kernel's own count: twice what it has at rest. */
const LIMIT = 1_600_000
const THREADS = { OMP_NUM_THREADS: "2" }

const flags = `--backend torch --batch-size ${BATCH} --max-steps 4 --shuffle false --learning-rate 1e-3 --save-every 2`

const metrics = (output: string): ReadonlyArray<Readonly<Record<string, number>>> =>
  readFileSync(join(output, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, number>)

describe.skipIf(!torchIsSetUp || process.platform !== "linux")("a run that needs more memory than there is", () => {
  it("ends with the cause on one screen, and goes on in smaller parts to the same curve", async () => {
    const [model, train, run, whole] = ["model", "rows.jsonl", "run", "whole"].map((name) => join(folder, name))
    await makeModel(model!)
    writeFileSync(train!, rows.map((row) => JSON.stringify(row)).join("\n"))
    const sft = (output: string, packing: boolean) =>
      `sft --model ${model} --train ${train} --output ${output} ${flags} --packing ${packing}`.split(" ")

    const failed = await plumb(sft(run!, false), folder, THREADS, LIMIT)
    expect([failed.code, failed.stdout]).toEqual([1, ""])
    const [screen] = failed.stderr.match(/^error: [^]*/m)!
    expect(screen).toMatch(
      /^error: step 3: out of memory in (aten::|mkldnn::)?\w+ \(.+\): 1008\.00 MiB asked for, \d+\.\d\d MiB free\. Nothing of the step was kept/
    )
    const advice = `plumb resume ${run} --micro-batch-size 32, or with --activation-checkpointing`
    expect(screen.endsWith(`${advice}\n`), screen).toBe(true)
    const shown = await plumb(["show", run!])
    expect(shown.stdout).toMatch(/^status {9}failed at step 2$/m)
    expect(shown.stdout).toContain(screen.replace("error: ", "").trim())
    expect(shown.stdout).toMatch(/^checkpoints {4}step 2$/m)

    const resumed = await plumb(["resume", run!, "--micro-batch-size", "1"], folder, THREADS, LIMIT)
    expect(resumed.code, resumed.stderr).toBe(0)
    const { invocation } = JSON.parse(readFileSync(join(run!, "run.json"), "utf8")) as {
      readonly invocation: { readonly options: unknown }
    }
    expect(invocation.options).toMatchObject({ microBatchSize: 1, batchSize: BATCH })
    const enough = await plumb(sft(whole!, true), folder, THREADS)
    expect(enough.code, enough.stderr).toBe(0)
    const expected = metrics(whole!)
    expect(metrics(run!).map(({ step }) => step)).toEqual([1, 2, 3, 4])
    for (const [i, { grad_norm, loss }] of metrics(run!).entries()) {
      expect(Math.abs(loss! / expected[i]!["loss"]! - 1), `loss of step ${i + 1}`).toBeLessThan(1e-6)
      expect(Math.abs(grad_norm! / expected[i]!["grad_norm"]! - 1), `norm of step ${i + 1}`).toBeLessThan(1e-5)
    }
  })
})

describe("plumb resume", () => {
  it("takes nothing that would change the steps, and of a recipe only parameters that it has", async () => {
    const output = join(folder, "recipe")
    mkdirSync(output)
    const recipe = join(root, "recipes", "first.ts")
    const machine = { backend: "wasm", precision: "float32", device: "cpu" }
    const options = { recipe, params: {}, output, store: join(folder, "runs.db"), cwd: root, ...machine }
    const startedAt = "2026-01-01T00:00:00.000Z"
    const described = { name: "recipe", algorithm: "sft", startedAt, versions: {}, digests: {} }
    writeFileSync(join(output, "run.json"), JSON.stringify({ ...described, invocation: { command: "run", options } }))
    const lacking = await plumb(["resume", output, "--micro-batch-size", "2"])
    expect([lacking.code, lacking.stderr]).toEqual([
      2,
      `error: recipe first has no parameter --micro-batch-size: set it in ${recipe}\nhint: plumb run ${recipe} --help lists the parameters\n`
    ])
    const { code, stderr } = await plumb(["resume", output, "--learning-rate", "1"])
    expect([code, stderr]).toEqual([2, expect.stringContaining("unknown option --learning-rate")])
  })
})
