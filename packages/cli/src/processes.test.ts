import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { deviceIndex, isFirstProcess, placeAmongProcesses } from "./processes.ts"

const place = (environment: Readonly<Record<string, string>>) =>
  Effect.runSync(Effect.result(placeAmongProcesses(environment)))

const launched = { RANK: "2", LOCAL_RANK: "0", WORLD_SIZE: "4", MASTER_ADDR: "10.0.0.1", MASTER_PORT: "29500" }

describe("a process among others", () => {
  it("is alone without a launcher, and with one that started a single process", () => {
    expect(place({})).toMatchObject({ success: undefined })
    expect(place({ ...launched, RANK: "0", WORLD_SIZE: "1" })).toMatchObject({ success: undefined })
    expect([isFirstProcess({}), deviceIndex({})]).toEqual([true, 0])
  })

  it("finds its place in torchrun's variables", () => {
    const at = { rank: 2, size: 4, host: "10.0.0.1", port: 29_500 }
    expect(place(launched)).toMatchObject({ success: { ...at, firstServes: true } })
    expect([isFirstProcess(launched), deviceIndex({ ...launched, LOCAL_RANK: "3" })]).toEqual([false, 3])
    const byTorchrun = { ...launched, TORCHELASTIC_USE_AGENT_STORE: "True", TORCHELASTIC_RESTART_COUNT: "1" }
    expect(place(byTorchrun)).toMatchObject({ success: { ...at, firstServes: false, prefix: "plumbline/run/1" } })
  })

  it.each([
    [{ RANK: "4" }, 'RANK is "4"'],
    [{ RANK: "-1" }, 'RANK is "-1"'],
    [{ WORLD_SIZE: "two" }, 'WORLD_SIZE is "two"'],
    [{ MASTER_ADDR: "" }, 'MASTER_ADDR is ""'],
    [{ MASTER_PORT: "0" }, 'MASTER_PORT is "0"'],
    [{ LOCAL_RANK: "x" }, 'LOCAL_RANK is "x"']
  ])("refuses %o", (wrong, problem) => {
    const result = place({ ...launched, ...wrong } as typeof launched)
    expect(JSON.stringify(result)).toContain(JSON.stringify(problem).slice(1, -1))
  })

  it("names every variable that is missing", () => {
    const result = place({ WORLD_SIZE: "2" })
    for (const name of ["RANK", "MASTER_ADDR", "MASTER_PORT"])
      expect(JSON.stringify(result)).toContain(`${name} is not`)
  })
})
