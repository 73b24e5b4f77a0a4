import { DeviceLost } from "@plumbline/runtime"
import { Cause, Context, Effect, type Exit } from "effect"
import { describe, expect, it } from "vitest"
import { RecipeInvalid } from "./load-recipe.ts"
import { renderFailure } from "./render-error.ts"
import { StoreNotFound } from "./find-store.ts"
import { TextRequested, UsageError } from "./usage-error.ts"
import { usesColour } from "./terminal.ts"

const rendered = (error: unknown, colour = false) => renderFailure(Cause.fail(error), colour)

describe("renderFailure", () => {
  it("ends with 1 for a typed failure, its message without its tag", () => {
    const { exitCode, standardError, standardOutput } = rendered(
      new RecipeInvalid({ file: "a.ts", reason: "no such file" })
    )
    expect([exitCode, standardOutput, standardError]).toEqual([1, "", "error: recipe a.ts: no such file\n"])
  })

  it("ends with 2 for bad usage, one problem a line, and says where to read more", () => {
    const { exitCode, standardError } = rendered(
      new UsageError({ problems: ["one", "two"], help: "plumb x --help lists the options" })
    )
    expect(exitCode).toBe(2)
    expect(standardError).toBe("error: one\n       two\nhint: plumb x --help lists the options\n")
  })

  it("prints requested text as a result", () => {
    expect(rendered(new TextRequested({ text: "help" }))).toEqual({
      exitCode: 0,
      standardOutput: "help\n",
      standardError: ""
    })
  })

  it("colours the label alone, where colours are wanted", () => {
    const error = new StoreNotFound({ looked: ["a.db"] })
    expect(rendered(error, true).standardError).toBe(`\u001b[31;1merror\u001b[0m: ${error.message}\n`)
  })

  it("says of a device what it did and how to go on", () => {
    const lost = new DeviceLost({ operator: "aten::mm", reason: "CUDA error: an illegal memory access" })
    expect(rendered(lost)).toEqual({
      exitCode: 1,
      standardOutput: "",
      standardError:
        "error: the device failed in aten::mm: CUDA error: an illegal memory access\n" +
        "hint: this process can compute no more; a run goes on from its newest checkpoint: plumb resume RUN\n"
    })
  })

  it("calls what a recipe threw the recipe's, and shows its frames alone", () => {
    const error = new RangeError("too many apples")
    error.stack = `RangeError: too many apples
    at mul_ (/a/node_modules/@tensorflow/tfjs-core/dist/tf-core.node.js:8783:19)
    at loss (file:///home/ann/my%20runs/apples.ts:3:4)
    at accumulate (${import.meta.url}:1:2)
    at listOnTimeout (node:internal/timers:685:17)`
    expect(renderFailure(Cause.die(error), false)).toEqual({
      exitCode: 1,
      standardOutput: "",
      standardError:
        "error: code of yours threw RangeError: too many apples\n    at loss (file:///home/ann/my%20runs/apples.ts:3:4)\n"
    })
  })

  it("names the service that a recipe provides to nobody, and the recipe's line", () => {
    class Harvest extends Context.Service<Harvest, number>()("orchard/Harvest") {}
    const missing = (Effect.runSyncExit(Harvest as unknown as Effect.Effect<number>) as Exit.Failure<number, never>)
      .cause
    const at = (file: string) => `    at run (${file}:3:4)`
    const from = (file: string) =>
      Cause.annotate(missing, Context.make(Cause.StackTrace, { name: "run", stack: () => at(file), parent: undefined }))
    expect(renderFailure(from("file:///home/ann/apples.ts"), false).standardError).toBe(
      `error: code of yours needs the service orchard/Harvest, which it does not provide
    at run (file:///home/ann/apples.ts:3:4)
hint: Effect.provide(Harvest.layer…); the compiler finds what is missing before a run
`
    )
  })

  it("shows what a failure that is no Error holds", () => {
    expect(rendered({ what: "apples" }).standardError).toBe("error: { what: 'apples' }\n")
  })

  it("calls a defect a bug and shows where it happened", () => {
    const { exitCode, standardError } = renderFailure(Cause.die(new TypeError("x is not a function")), false)
    expect(exitCode).toBe(1)
    expect(standardError).toMatch(
      /^error: this is a bug in Plumbline, please report it\n.*TypeError: x is not a function/
    )
    expect(standardError).toContain("render-error.test.ts")
  })
})

it("colours terminals only, and none where NO_COLOR is set", () => {
  expect(usesColour({ isTTY: true }, {})).toBe(true)
  expect(usesColour({ isTTY: true }, { NO_COLOR: "" })).toBe(true)
  expect(usesColour({ isTTY: true }, { NO_COLOR: "1" })).toBe(false)
  expect(usesColour({ isTTY: true }, { TERM: "dumb" })).toBe(false)
  expect(usesColour({}, {})).toBe(false)
})
