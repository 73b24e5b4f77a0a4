import { describe, expect, it } from "vitest"
import { addonPath } from "./addon.ts"
import { missingKernels, stringsReason } from "./missing-kernels.ts"
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
    ([what, count]) => `  ${String(count).padStart(4)}  ${what}: ${missingKernels[what] ?? stringsReason}`
  )
  const shown = backend === "torch" ? lines : lines.map((line) => line.slice(0, line.indexOf(":")))
  process.stdout.write(
    [`tfjs-core's specs on ${backend}: ${passed(specs).length} of ${specs.length} pass; not run:`, ...shown, ""].join(
      "\n"
    )
  )
}

describe.skipIf(addon === undefined)("tfjs-core's own specs", () => {
  it("pass on libtorch wherever the kernel is there, and no fewer than on wasm", async () => {
    const torch = await runCoreSpecs("torch", addon)
    const wasm = await runCoreSpecs("wasm")
    print("torch", torch)
    print("wasm", wasm)
    const wrong = failed(torch).filter(
      (spec) => !["strings", ...Object.keys(missingKernels)].includes(lacking(spec) ?? "")
    )
    expect(wrong.map(({ name, reasons }) => `${name}: ${reasons[0]}`)).toEqual([])
    expect(passed(torch).length).toBeGreaterThanOrEqual(3600)
    expect(passed(torch).length).toBeGreaterThan(passed(wasm).length)
  })
})
