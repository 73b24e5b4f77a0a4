import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { philoxStream } from "@plumbline/runtime"
import { hasCuda } from "@plumbline/runtime/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb, startPlumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden, torchIsSetUp } from "./reference-files.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-resume-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const STEPS = 40

const flags = `--max-steps ${STEPS} --batch-size 4 --learning-rate 1e-3 --lr-schedule cosine --warmup-steps 3 --save-every 3 --seed 7`

const argsOn = (backend: string, command: string) => (output: string) => {
  const files = ["--model", join(golden, "models", "llama"), "--train", join(golden, "preferences.jsonl")]
  return [...command.split(" "), ...files, "--output", output, ...flags.split(" "), "--backend", ...backend.split(" ")]
}

// a reference that moves, a running mean, a coupling over the batch and an opponent are carried from step to step, too
const runs = [
  ["wasm", "dpo"],
  ["torch", "dpo"],
  ["torch --device cuda --deterministic true", "dpo"],
  ["torch --device cuda --deterministic true --precision bfloat16", "dpo"],
  ["wasm", "dpo --reference-sync-steps 2"],
  ["wasm", "kto --loss bco --micro-batch-size 2"],
  ["wasm", "spin --iteration-steps 7 --max-new-tokens 6"],
  ["wasm", "dpo --lora-rank 4 --lora-dropout 0.1"]
] as const

/** Lines of metrics.jsonl without what the clock decides. */
const lines = (output: string): ReadonlyArray<string> => {
  const file = join(output, "metrics.jsonl")
  if (!existsSync(file)) return []
  const whole = readFileSync(file, "utf8").split("\n").slice(0, -1)
  return whole.map((line) =>
    JSON.stringify(JSON.parse(line), (key, value: unknown) =>
      key.startsWith("timers/") || key === "tokens_per_second" ? undefined : value
    )
  )
}

/** Starts the run (or resumes it), kills it without warning once `step` has been written. */
const killedAt = async (command: ReadonlyArray<string>, output: string, step: number): Promise<void> => {
  const child = startPlumb(command)
  const closed = once(child, "close")
  while (lines(output).length < step && child.exitCode === null) await sleep(5)
  child.kill("SIGKILL")
  await closed
}

describe.skipIf(!hasGolden)("a run killed without warning", () => {
  it.for(runs)(
    "goes on to the same metrics and the same weights, bit for bit: %s, %s",
    async ([backend, command], test) => {
      test.skip(backend === "torch" && !torchIsSetUp, "no torch is set up")
      test.skip(backend.includes("cuda") && !hasCuda(), "no CUDA device")
      const args = argsOn(backend, command)
      const whole = join(folder, backend, command, "whole")
      const killed = join(folder, backend, command, "killed")
      const finished = await plumbHere(args(whole))
      expect(finished.code, finished.stderr).toBe(0)
      const random = philoxStream(Date.now(), "kill")
      const first = 1 + Math.floor(random.uniform(0) * (STEPS / 2))
      await killedAt(args(killed), killed, first)
      await killedAt(["resume", killed], killed, first + Math.floor(random.uniform(1) * (STEPS / 3)))
      expect(lines(killed).length, `killed after ${first}`).toBeLessThan(STEPS)
      const resumed = await plumb(["resume", killed])
      expect(resumed.code, resumed.stderr).toBe(0)
      expect(lines(killed), `killed after step ${first}`).toEqual(lines(whole))
      const file = command.includes("--lora-rank") ? "adapter_model.safetensors" : "model.safetensors"
      const weights = (output: string) => readFileSync(join(output, "final", file))
      expect(weights(killed).equals(weights(whole))).toBe(true)
    }
  )
})
