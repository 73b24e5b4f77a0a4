import { describe, expect, it } from "vitest"
import { plumbHere } from "./plumb-here.ts"

describe("--batch-invariant", () => {
  const machines = ["--backend auto", "--backend torch", "--backend wasm", "--precision bfloat16"]
  it.for(machines)("is refused with %s on the CPU, in one line that says where it can be had", async (machine) => {
    const { code, stderr } = await plumbHere(["bench", "generate", "--batch-invariant", "true", ...machine.split(" ")])
    expect(code).toBe(1)
    expect(stderr).toContain("with --batch-invariant torch: bfloat16 on cuda")
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
