import { kebabCase } from "@plumbline/data"
import { needed, option, optional, Positive, PositiveInt } from "@plumbline/training"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { flagsOf, flagText } from "./flags.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "model folder"),
  learningRate: option(Positive, 1e-5, "peak learning rate"),
  maxSteps: optional(PositiveInt, "optimizer steps"),
  packing: option(Schema.Boolean, true, "end to end"),
  loss: option(Schema.Array(Schema.Literals(["sigmoid", "ipo"])), ["sigmoid"], "losses"),
  exact: option(Schema.Literals(["auto", true, false]), "auto", "a switch, or left open"),
  extra: optional(Schema.Struct({ a: Schema.Number }), "nested")
})

describe("flagsOf", () => {
  const flags = flagsOf(Options)
  const flag = (field: string) => flags.find((candidate) => candidate.field === field)

  it("makes a kebab-case flag of every field, in order", () => {
    expect(flags.map(({ name }) => name)).toEqual([
      "model",
      "learning-rate",
      "max-steps",
      "packing",
      "loss",
      "exact",
      "extra"
    ])
  })

  it("carries description, default and whether the field is needed", () => {
    expect(flag("learningRate")).toMatchObject({
      description: "peak learning rate",
      defaultValue: 1e-5,
      required: false
    })
    expect(flag("model")).toMatchObject({ defaultValue: undefined, required: true })
  })

  it("tells kinds, lists and choices apart", () => {
    expect(flags.map(({ kind, list }) => [kind, list])).toEqual([
      ["string", false],
      ["number", false],
      ["number", false],
      ["boolean", false],
      ["string", true],
      ["json", false],
      ["json", false]
    ])
    expect(flag("exact")!.choices).toEqual(["auto", "true", "false"])
    expect(flag("extra")!.choices).toEqual([])
    expect(flag("loss")!.choices).toEqual(["sigmoid", "ipo"])
  })

  it("sees through the reference that a named schema becomes", () => {
    class Named extends Schema.Class<Named>("Named")({ seed: option(PositiveInt, 3, "seed") }) {}
    expect(flagsOf(Named)).toMatchObject([{ name: "seed", kind: "number", defaultValue: 3 }])
  })
})

it("writes names and values as on a command line", () => {
  expect(kebabCase("minLrRatio")).toBe("min-lr-ratio")
  expect([1e-6, 0, 0.9, true, ["a", "b"], { a: 1 }].map(flagText)).toEqual([
    "1e-6",
    "0",
    "0.9",
    "true",
    "a,b",
    '{"a":1}'
  ])
})
