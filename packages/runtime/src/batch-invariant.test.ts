import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { batchInvariantFor } from "./batch-invariant.ts"
import { torchFailure } from "./backends/torch.ts"
import { ModelRuntime } from "./model-runtime.ts"

/** What happens to the kernels, in order, when `trial` is what they are wanted for. */
const turns = async (trial: () => void, missing?: string) => {
  const seen: Array<string> = []
  const runtime = ModelRuntime.of({
    backend: "torch",
    precision: "float32",
    description: "",
    memory: () => ({ tensors: 0, bytes: 0, reservedBytes: undefined }),
    failureOf: torchFailure,
    batchInvariance: { turn: (on) => (seen.push(on ? "on" : "off"), on ? missing : undefined) }
  })
  const work = Effect.tap(
    batchInvariantFor(() => (seen.push("trial"), trial())),
    () => Effect.sync(() => seen.push("work"))
  )
  const exit = await Effect.runPromiseExit(Effect.scoped(Effect.provideService(work, ModelRuntime, runtime)))
  return { seen, told: exit._tag === "Success" ? exit.value : undefined }
}

const refuse = (name: string) => () => {
  throw Object.assign(new Error("heads of 20 numbers"), { name })
}

describe("batchInvariantFor", () => {
  it("has them until the scope ends, and says so", async () => {
    const { seen, told } = await turns(() => {})
    expect(seen).toEqual(["on", "trial", "work", "off"])
    expect(told).toContain("--batch-invariant false")
  })

  it("goes on without them where the trial meets what they do not take, and says what", async () => {
    const { seen, told } = await turns(refuse("BatchInvarianceUnavailable"))
    expect(seen.slice(0, 4)).toEqual(["on", "trial", "off", "work"])
    expect(told).toMatch(/not batch-invariant.*heads of 20 numbers/)
  })

  it("goes on without them where the library cannot, and tries nothing", async () => {
    const { seen, told } = await turns(() => {}, "needs torch 2.11")
    expect(seen.slice(0, 3)).toEqual(["on", "off", "work"])
    expect(told).toContain("needs torch 2.11")
  })

  it("leaves other failures of the trial what they are", async () => {
    const { seen, told } = await turns(refuse("TypeError"))
    expect([seen, told]).toEqual([["on", "trial", "off"], undefined])
  })

  it("does nothing where it is not left to the work", async () => {
    const settled = ModelRuntime.of({
      backend: "torch",
      precision: "float32",
      description: "",
      memory: () => ({ tensors: 0, bytes: 0, reservedBytes: undefined }),
      failureOf: torchFailure
    })
    const told = batchInvariantFor(refuse("TypeError"))
    expect(await Effect.runPromise(Effect.scoped(Effect.provideService(told, ModelRuntime, settled)))).toBeUndefined()
  })
})
