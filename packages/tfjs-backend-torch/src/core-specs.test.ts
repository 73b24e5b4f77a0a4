import { describe, expect, it } from "vitest"
import { addonPath } from "./addon.ts"
import { lacking, runCoreSpecs, type SpecOutcome } from "./testing/core-specs/core-specs.ts"

const addon = addonPath()

const countBy = (values: ReadonlyArray<string>): ReadonlyArray<readonly [string, number]> => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].toSorted((a, b) => b[1] - a[1])
}

const passed = (specs: ReadonlyArray<SpecOutcome>) => specs.filter(({ status }) => status === "passed")
const failed = (specs: ReadonlyArray<SpecOutcome>) => specs.filter(({ status }) => status === "failed")

const print = (backend: string, specs: ReadonlyArray<SpecOutcome>) => {
  const lines = countBy(failed(specs).map((spec) => lacking(spec) ?? "a wrong result or a refusal")).map(
    ([what, count]) => `  ${String(count).padStart(4)}  ${what}`
  )
  const summary = `tfjs-core's specs on ${backend}: ${passed(specs).length} of ${specs.length} pass; failed:`
  process.stdout.write([summary, ...lines, ""].join("\n"))
}

describe.skipIf(addon === undefined)("tfjs-core's own specs", () => {
  it("pass on libtorch, and fewer on wasm", async () => {
    const torch = await runCoreSpecs("torch", addon)
    const wasm = await runCoreSpecs("wasm")
    print("torch", torch)
    print("wasm", wasm)
    expect(failed(torch).map(({ name, reasons }) => `${name}: ${reasons[0]}`)).toEqual([])
    expect(passed(torch).length).toBeGreaterThanOrEqual(4200)
    expect(passed(torch).length).toBeGreaterThan(passed(wasm).length)
  })
})
