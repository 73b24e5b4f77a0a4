import { freePort, placeOf } from "@plumbline/cli/process-place"
import { once } from "node:events"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Finished, plumb, startPlumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { writeRewardModel } from "./random-reward-model.ts"
import { writeWideModel } from "./wide-model.ts"
import { golden, hasGolden, root, torchIsSetUp } from "./reference-files.ts"

// libtorch's threads are as many in each process, the test's own too: so are the bits
process.env["OMP_NUM_THREADS"] = "1"

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-processes-"))
  if (!hasGolden) return
  await writeRewardModel(join(golden, "models", "llama"), join(folder, "reward"))
  await writeWideModel(join(golden, "models", "llama"), join(folder, "wide"))
  await writeWideModel(join(golden, "models", "llama"), join(folder, "deep"), 3)
  await writeWideModel(join(golden, "models", "llama"), join(folder, "mixture"), 2, 5)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const modelFolder = (model: string) =>
  ["wide", "deep", "mixture"].includes(model) ? join(folder, model) : join(golden, "models", model)

const flags = (command: string, output: string, model = "llama") => {
  const files = ["--model", modelFolder(model), "--train", join(golden, "preferences.jsonl")]
  return [...command.split(" "), ...files, "--output", output, "--backend", "torch", "--learning-rate", "1e-3"]
}

/** Runs a command line in so many processes, of which the test's own is the first; they meet as a launcher has them meet. */
const together = async (args: ReadonlyArray<string>, processes: number): Promise<ReadonlyArray<Finished>> => {
  const port = await freePort()
  const place = (rank: number) => placeOf(rank, processes, port)
  const others = Array.from({ length: processes - 1 }, (_, i) => plumb(args, undefined, place(i + 1)))
  return Promise.all([plumbHere(args, undefined, place(0)), ...others])
}

const expectDone = (all: ReadonlyArray<Finished>) => {
  for (const { code, stderr } of all) expect(code, stderr).toBe(0)
}

interface Step extends Readonly<Record<string, number>> {
  readonly step: number
}

const steps = (output: string): ReadonlyArray<Step> => {
  const file = join(output, "metrics.jsonl")
  if (!existsSync(file)) return []
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1)
  return whole.map((line) => JSON.parse(line) as Step)
}

/** Without what the clock decides. */
const measured = (output: string) =>
  steps(output).map(({ tokens_per_second: _, ...step }) =>
    Object.entries(step).filter(([name]) => !name.startsWith("timers/"))
  )

/** The same but for rounding. */
const expectAlike = (found: ReadonlyArray<Step>, expected: ReadonlyArray<Step>, rounding = 1e-4) => {
  expect(found.map(({ step }) => step)).toEqual(expected.map(({ step }) => step))
  for (const [i, step] of expected.entries()) {
    expect(Object.keys(found[i]!)).toEqual(Object.keys(step))
    for (const [name, value] of Object.entries(step)) {
      if (name.startsWith("timers/") || name === "tokens_per_second") continue
      const gap = Math.abs(found[i]![name]! - value)
      expect(gap, `${name} of step ${i + 1}`).toBeLessThan(rounding * Math.max(1, Math.abs(value)))
    }
  }
}

const weights = (output: string) => readFileSync(join(output, "final", "model.safetensors"))

/** Processes of a command that have this in their command line, the launcher first. */
const processesOf = (mark: string): ReadonlyArray<number> =>
  readProcesses()
    .filter(({ line }) => line.includes(mark))
    .map(({ pid }) => pid)

const readProcesses = () => {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const line = readFileSync(join("/proc", name, "cmdline"), "utf8")
        return line.includes("plumb.js") ? [{ pid: Number(name), line }] : []
      } catch {
        return []
      }
    })
    .toSorted((a, b) => a.pid - b.pid)
}

// a plain loss, parameters that are divided, exact weights that are divided, too, a reference, a coupling over the batch, experts that are kept busy together, an adapter, responses of its own, a critic
const runs = [
  ["sft --packing false", "llama"],
  ["sft --weight-decay 0.1", "wide"],
  ["sft --weight-decay 0.1 --micro-batch-size 1 --precision bfloat16", "wide"],
  ["dpo --precompute-reference true", "llama"],
  ["kto --loss bco", "llama"],
  ["sft --router-aux-loss-coef 0.1", "mixtral"],
  ["dpo --lora-rank 4 --lora-dropout 0.1", "llama"],
  ["grpo --samples 3 --max-new-tokens 8 --inner-epochs 2", "llama"],
  ["ppo --max-new-tokens 8 --inner-epochs 2 --critic-warmup 1 --critic-learning-rate 1e-3", "wide"],
  ["online-dpo --max-new-tokens 8", "llama"]
] as const

// micro-batches that one has more of than the other, blocks that are computed again, a frozen copy, another reference, adapters
// that read their base, a coupling, experts
const shardedRuns: ReadonlyArray<readonly [command: string, how: "same bits" | "rounding", model?: string]> = [
  ["sft --weight-decay 0.1 --batch-size 4", "same bits"],
  ["sft --batch-size 4 --precision bfloat16 --activation-checkpointing true", "same bits"],
  ["sft --batch-size 5 --micro-batch-size 1", "rounding"],
  ["dpo --batch-size 4 --precision bfloat16", "same bits"],
  ["dpo --batch-size 5 --micro-batch-size 1 --precompute-reference true", "rounding"],
  ["dpo --batch-size 4 --lora-rank 4 --lora-dropout 0.1 --dora true", "same bits"],
  ["sft --batch-size 4 --lora-rank 4 --lora-init pissa --activation-checkpointing true", "same bits"],
  ["kto --loss bco --batch-size 6 --micro-batch-size 2", "rounding"],
  ["sft --batch-size 4", "same bits", "mixture"],
  ["sft --batch-size 4 --precision bfloat16 --activation-checkpointing true", "same bits", "mixture"],
  ["sft --batch-size 3 --micro-batch-size 1 --router-aux-loss-coef 50", "rounding", "mixture"],
  ["dpo --batch-size 4 --lora-rank 4 --lora-targets q_proj,v_proj", "same bits", "mixture"],
  ["sft --batch-size 4 --lora-rank 4", "same bits", "mixture"]
]

describe.skipIf(!hasGolden || !torchIsSetUp)("a run whose weights are in parts", () => {
  const heldOut = ["--eval", join(golden, "preferences.jsonl"), "--eval-every", "3"]
  const common = ["--max-steps", "3", "--max-length", "96", ...heldOut]

  const final = (output: string) => {
    const file = ["model", "adapter_model"].map((name) => join(output, "final", `${name}.safetensors`)).find(existsSync)
    return readFileSync(file!)
  }

  it.for(shardedRuns)(
    "takes the steps that whole weights take: %s, %s",
    { timeout: 120_000 },
    async ([command, how, model = "deep"]) => {
      const [whole, parts] = ["whole", "parts"].map((name) => join(folder, "sharded", model, command, name)) as [
        string,
        string
      ]
      const reference = command.includes("--precompute-reference") ? ["--reference", modelFolder("llama")] : []
      const args = (output: string) => [...flags(command, output, model), ...common, ...reference]
      expectDone(await together(args(whole), how === "rounding" ? 1 : 2))
      expectDone(await together([...args(parts), "--sharding", "full"], 2))
      if (how === "rounding") return expectAlike(steps(parts), steps(whole), 1e-4)
      expect(measured(parts)).toEqual(measured(whole))
      expect(final(parts).equals(final(whole))).toBe(true)
    }
  )

  const long = (output: string, sharding: string) => [
    ...flags("sft --max-steps 30 --batch-size 4 --save-every 5 --max-length 64", output, "deep"),
    "--processes",
    "2",
    "--precision",
    "bfloat16",
    "--sharding",
    sharding
  ]

  it("goes on bit for bit after a signal, with whole tensors in its checkpoints", async () => {
    const [whole, parts] = [join(folder, "parts-whole"), join(folder, "parts-stopped")]
    expectDone(await together(long(whole, "gradients"), 2))
    const child = startPlumb(long(parts, "full"))
    const closed = once(child, "close")
    while (steps(parts).length < 8 && child.exitCode === null) await sleep(10)
    child.kill("SIGTERM")
    await closed
    const before = steps(parts).length
    expect(before).toBeLessThan(30)
    const copy = join(folder, "parts-copied")
    cpSync(parts, copy, { recursive: true })
    expectDone([await plumb(["resume", parts])])
    // whatever the processes divide
    expectDone(await together(["resume", copy, "--sharding", "gradients"], 2))
    for (const output of [parts, copy]) {
      expect(measured(output)).toEqual(measured(whole))
      expect(weights(output).equals(weights(whole))).toBe(true)
    }
  }, 180_000)

  it("takes less memory", async () => {
    const measuredBytes = async (sharding: string) => {
      const shape = ["--shape", "llama-tiny", "--batch", "2", "--length", "8", "--steps", "1", "--warmup", "1"]
      // the machine's own peak, which it would measure, is not looked at
      const machine = ["--peak-tflops", "1", "--backend", "torch", "--processes", "2", "--sharding", sharding]
      const { code, stderr, stdout } = await plumb(["bench", "train", ...shape, ...machine, "--json"])
      expect(code, stderr).toBe(0)
      const { memory, parameters } = JSON.parse(stdout) as {
        readonly parameters: number
        readonly memory: Readonly<Record<"allocated_bytes" | "peak_bytes", number>>
      }
      return { between: memory.allocated_bytes / parameters, peak: memory.peak_bytes / parameters }
    }
    const [whole, parts] = [await measuredBytes("gradients"), await measuredBytes("full")]
    // float32 weights and half of two moments, all of them and half
    expect(whole.between).toBeCloseTo(4 + 8 / 2, 1)
    expect(parts.between).toBeCloseTo(4 / 2 + 8 / 2, 1)
    expect(parts.peak).toBeLessThan(whole.peak - 1)
  }, 60_000)

  it("is refused where it cannot be", async () => {
    const output = join(folder, "refused")
    const args = (command: string, model: string) => [...flags(command, output, model), "--sharding", "full"]
    const refused = async (args: ReadonlyArray<string>, processes = 2) => {
      const all = await together(args, processes)
      for (const { code } of all) expect(code).not.toBe(0)
      expect(existsSync(output)).toBe(false)
      return all[0]!.stderr
    }
    expect(await refused(args("sft", "deep"), 1)).toContain("one process has nobody to hold its weights with")
    const judged = ["--reward-model", join(folder, "reward")]
    expect(await refused([...args("grpo", "deep"), ...judged])).toContain(
      "grpo writes responses, which needs the policy's weights whole"
    )
    expect(await refused(args("sft --lora-rank 4 --lora-dropout 0.1", "mixture"))).toContain(
      "mixtures whose experts have adapters that go one by one cannot be held in parts yet"
    )
    expect(await refused(args("sft --lora-rank 4 --quantised true", "deep"))).toContain("matrices in 4 bits")
    expect(await refused(args("rm", "deep"))).toContain("reward models and critics cannot be held in parts yet")
    expect(await refused(args("dpo --reference-sync-steps 2", "deep"))).toContain("a reference that moves")
  }, 120_000)
})

describe.skipIf(!hasGolden || !torchIsSetUp)("a run that processes share", () => {
  it.for(runs)("takes the steps that one process takes: %s, %s", { timeout: 120_000 }, async ([command, model]) => {
    const common = ["--max-steps", "3", "--batch-size", "6", "--max-length", "256"]
    const writes = command.includes("--max-new-tokens")
    const heldOut = ["--eval", join(golden, "preferences.jsonl"), "--eval-every", "3"]
    const reward = writes ? ["--reward-model", join(folder, "reward")] : []
    // not the policy itself: the sign of rounding would decide who is right at step 1
    const reference = command.includes("--precompute-reference") ? ["--reference", modelFolder("wide")] : []
    const args = (output: string) => [...flags(command, output, model), ...common, ...heldOut, ...reward, ...reference]
    const [alone, shared] = ["alone", "shared"].map((name) => join(folder, model, command, name)) as [string, string]
    expectDone(await together(args(alone), 1))
    expectDone(await together(args(shared), 3))
    expect(steps(shared).map(({ step }) => step)).toEqual([1, 2, 3])
    expectAlike(steps(shared), steps(alone), command.includes("bfloat16") ? 3e-3 : 1e-4)
  })

  const long = (output: string, precision = "float32") =>
    flags(
      `sft --max-steps 40 --batch-size 4 --save-every 5 --max-length 64 --processes 2 --precision ${precision}`,
      output,
      "wide"
    )

  const undisturbed = async (precision = "float32") => {
    const output = join(folder, precision)
    if (!existsSync(join(output, "final"))) expectDone(await together(long(output, precision), 2))
    return output
  }

  /** Starts the run and does something to one of its processes once it is under way. */
  const disturbed = async (
    output: string,
    which: number,
    signal: NodeJS.Signals,
    { args = long(output), begun = output }: { readonly args?: ReadonlyArray<string>; readonly begun?: string } = {}
  ) => {
    const child = startPlumb(args)
    let stderr = ""
    child.stderr?.on("data", (text) => (stderr += String(text)))
    const closed = once(child, "close")
    while (steps(begun).length < 12 && child.exitCode === null) await sleep(10)
    const before = processesOf(output)
    process.kill(before[which]!, signal)
    const since = performance.now()
    await closed
    return { stderr, code: child.exitCode, seconds: (performance.now() - since) / 1000, processes: before.length }
  }

  it("goes on, bit for bit, after one of them was killed, which the others say in seconds", async () => {
    const [whole, killed] = [await undisturbed("bfloat16"), join(folder, "killed")]
    const args = long(killed, "bfloat16")
    const { code, processes, seconds, stderr } = await disturbed(killed, 2, "SIGKILL", { args })
    expect([code, processes]).toEqual([1, 3])
    expect(stderr).toContain("process 1 has died: it was not heard of for 8 s")
    expect(stderr).toContain("process 1 of 2 ended by SIGKILL")
    expect(seconds).toBeLessThan(30)
    expect(processesOf(killed)).toEqual([])
    const resumed = await plumb(["resume", killed])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(measured(killed)).toEqual(measured(whole))
    expect(weights(killed).equals(weights(whole))).toBe(true)
  }, 180_000)

  it("stops with a checkpoint on a signal, and goes on in another number of processes", async () => {
    const output = join(folder, "stopped")
    const { code } = await disturbed(output, 0, "SIGTERM")
    expect(code).toBe(0)
    const before = steps(output).length
    expect(before).toBeLessThan(40)
    const resumed = await plumb(["resume", output, "--processes", "1"])
    expect(resumed.code, resumed.stderr).toBe(0)
    expectAlike(steps(output), steps(await undisturbed()))
  }, 180_000)

  it("stops between the stages of a recipe where one process alone was asked to, and goes on", async () => {
    const output = join(folder, "stages")
    const recipe = join(root, "test", "fixtures", "recipes", "two-stages.ts")
    const files = ["--model", join(golden, "models", "llama"), "--train", join(golden, "preferences.jsonl")]
    const machine = ["--backend", "torch", "--processes", "2"]
    const args = ["run", recipe, ...files, "--steps", "40", "--output", output, ...machine]
    const begun = join(output, "first")
    const { code, processes, stderr } = await disturbed(output, 2, "SIGTERM", { args, begun })
    expect([code, processes], stderr).toEqual([0, 3])
    expect(existsSync(join(output, "second"))).toBe(false)
    expect(processesOf(output)).toEqual([])
    const resumed = await plumb(["resume", output])
    expect(resumed.code, resumed.stderr).toBe(0)
    for (const stage of ["first", "second"]) expect(existsSync(join(output, stage, "final"))).toBe(true)
  }, 180_000)

  it("ends where one of several processes started by torchrun's convention fails, with its reason", async () => {
    const output = join(folder, "by-hand")
    const data = join(folder, "other.jsonl")
    writeFileSync(
      data,
      readFileSync(join(golden, "preferences.jsonl"), "utf8").split("\n").toReversed().join("\n").trim()
    )
    const port = String(20_000 + (process.pid % 20_000))
    const start = (rank: string, train: string) => {
      const args = [...flags("sft", output), "--train", train, "--max-steps", "4", "--batch-size", "4"]
      const place = { RANK: rank, WORLD_SIZE: "2", LOCAL_RANK: rank, MASTER_ADDR: "127.0.0.1", MASTER_PORT: port }
      return plumb(args.toSpliced(args.indexOf("--train"), 2), undefined, place)
    }
    const [first, second] = await Promise.all([start("0", join(golden, "preferences.jsonl")), start("1", data)])
    expect([first.code, second.code]).toEqual([1, 1])
    expect(first.stderr + second.stderr).toContain("step 1: the data of process 1 are not those of process 0")
    writeFileSync(data, readFileSync(data, "utf8").split("\n")[0]!)
    rmSync(output, { recursive: true, force: true })
    const [told, short] = await Promise.all([start("0", join(golden, "preferences.jsonl")), start("1", data)])
    expect([told.code, short.code]).toEqual([1, 1])
    const reason = /error: (.*)/.exec(short.stderr)![1]!
    expect(told.stderr).toContain(`the processes of this run cannot go on: process 1 has failed: ${reason}`)
  }, 120_000)

  /** Runs imitation that one of two processes does otherwise. */
  const apart = (
    output: string,
    which: number,
    what: "waits" | "blocks" | "passes",
    ...more: ReadonlyArray<string>
  ) => {
    const files = ["--model", modelFolder("deep"), "--train", join(golden, "preferences.jsonl")]
    const processes = ["--processes", "2", "--process", String(which), "--what", what, ...more]
    const recipe = join(root, "test", "fixtures", "recipes", "apart.ts")
    return plumb(["run", recipe, ...files, "--output", output, "--backend", "torch", ...processes])
  }

  it("ends within its patience where a process lives but never comes, in that process, too", async () => {
    const ends = (
      [
        [0, "waits"],
        [1, "waits"],
        [0, "blocks"]
      ] as const
    ).map(async ([which, what]) => {
      const output = join(folder, what, String(which))
      const begun = performance.now()
      const { code, stderr } = await apart(output, which, what, "--patience", "10")
      expect(code).toBe(1)
      const said = `the processes of this run cannot go on: process ${which} of 2 did not come to [a-z ]+`
      expect(stderr).toMatch(new RegExp(`${said}\\d+( of \\d+ bytes)? within 10 s`))
      // who keeps the event loop is stopped 15 s after the other has ended
      expect(stderr.includes("process 1 of 2 ended by exit code 1")).toBe(what === "blocks")
      expect(performance.now() - begun).toBeLessThan(60_000)
      expect(processesOf(output)).toEqual([])
    })
    await Promise.all(ends)
  }, 120_000)

  it.for(["gradients", "full"])(
    "says where one makes other passes than the rest: --sharding %s",
    { timeout: 60_000 },
    async (sharding) => {
      const { code, stderr } = await apart(join(folder, "passes", sharding), 1, "passes", "--sharding", sharding)
      // nothing is exchanged in a pass over whole weights
      if (sharding === "gradients") return expect(code, stderr).toBe(0)
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /cannot go on: they do not make the same passes: process 0 is at [a-z ]+\d+.*, process 1 at /
      )
    }
  )

  it("is refused where it cannot be", async () => {
    const wasm = flags("sft", join(folder, "wasm")).map((flag) => (flag === "torch" ? "wasm" : flag))
    const refused = await plumb([...wasm, "--processes", "2"])
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain("several processes share a step on torch alone")
    const contradicting = await plumbHere([...flags("sft", join(folder, "two")), "--processes", "2"], undefined, {
      WORLD_SIZE: "4"
    })
    expect(contradicting.code).toBe(2)
    expect(contradicting.stderr).toContain("--processes 2: a launcher has started 4 (WORLD_SIZE)")
    const hasty = await plumbHere([...flags("sft", join(folder, "hasty")), "--processes", "2", "--patience", "0"])
    expect(hasty.code).toBe(2)
    expect(hasty.stderr).toContain("--patience: expected a value greater than 0; got 0")
    const grpo = flags("grpo --max-new-tokens 8 --dynamic-sampling 2 --processes 2", join(folder, "grpo"))
    const sampling = await plumb([...grpo, "--reward-model", join(folder, "reward")])
    expect(sampling.code).toBe(1)
    expect(sampling.stderr).toContain("--processes: several cannot share a run with --dynamic-sampling yet")
  })
})
