import { needed, NonNegative, option, optional, Positive, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { samplingFields } from "@plumbline/rollout-generation"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { CommandLine } from "./command-line.ts"
import { parseCommand } from "./parse-command.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "model folder"),
  learningRate: option(Positive, 1e-5, "peak learning rate"),
  alpha: option(Schema.Finite, 0.5, "α"),
  maxSteps: optional(PositiveInt, "optimizer steps"),
  shuffle: option(Schema.Boolean, true, "another order in every epoch"),
  loss: option(Schema.Array(Schema.Literals(["sigmoid", "ipo", "hinge"])), ["sigmoid"], "losses"),
  lossWeights: optional(Schema.Array(NonNegative), "weights")
})

const line: CommandLine<typeof Options> = {
  name: "test",
  usage: "--model DIR",
  summary: "a command",
  arguments: [],
  options: Options,
  group: (field) => (field === "model" ? "Files" : "Options"),
  configFile: true
}

const parse = (text: string, command: CommandLine<typeof Options> = line) =>
  Effect.runPromise(parseCommand(command, text === "" ? [] : text.split(" ")))

const failure = (text: string, command: CommandLine<typeof Options> = line) =>
  Effect.runPromise(Effect.flip(parseCommand(command, text === "" ? [] : text.split(" "))))

const problems = async (text: string) => (await failure(text)).message.split("\n")

describe("flags", () => {
  it("are read as their field's type, over its default", async () => {
    const { options } = await parse("--model m --learning-rate 1e-3 --max-steps=7 --shuffle false --loss ipo,hinge")
    expect(options).toEqual({
      model: "m",
      learningRate: 1e-3,
      alpha: 0.5,
      maxSteps: 7,
      shuffle: false,
      loss: ["ipo", "hinge"]
    })
  })

  it("take negative numbers, repeated lists and a bare switch", async () => {
    const { options } = await parse("--shuffle --model m --alpha -1e-3 --loss-weights 1,0.5 --loss-weights 2")
    expect(options).toMatchObject({ alpha: -1e-3, lossWeights: [1, 0.5, 2], shuffle: true })
  })

  it("keep quotes, equals signs and line ends of a text", async () => {
    const text = `"a"=b\n--c`
    const { options } = await Effect.runPromise(parseCommand(line, ["--model", text]))
    expect(options.model).toBe(text)
  })

  it("split lists at commas, keep every other space and line end, and read JSON lists as they are", async () => {
    const options = Schema.Struct({ stops: option(Schema.Array(Schema.String), [], ""), ...Options.fields })
    const stopsOf = async (...texts: ReadonlyArray<string>) => {
      const argv = ["--model", "m", ...texts.flatMap((text) => ["--stops", text])]
      return (await Effect.runPromise(parseCommand({ ...line, options }, argv))).options.stops
    }
    expect(await stopsOf("a, b", "\n")).toEqual(["a", "b", "\n"])
    expect(await stopsOf(" a,b ")).toEqual([" a", "b "])
    expect(await stopsOf('["a, b", "\\n"]', "[")).toEqual(["a, b", "\n", "["])
    expect((await parse("--model m --loss-weights [1,2]")).options.lossWeights).toEqual([1, 2])
  })

  it("resolve to plain data that decodes to the same again", async () => {
    const { encoded } = await parse("--model m")
    expect(encoded).toEqual({ model: "m", learningRate: 1e-5, alpha: 0.5, shuffle: true, loss: ["sigmoid"] })
  })
})

describe("bad usage", () => {
  it("is reported all at once, with what was probably meant", async () => {
    expect(await problems("--modle m --max-steps x --shuffle maybe --loss ipo,hing --no-shuffle -q")).toEqual([
      "unknown option --modle; did you mean --model?",
      '--max-steps: expected a number; got "x"',
      '--shuffle: expected true or false; got "maybe"',
      '--loss: expected one or several of sigmoid, ipo, hinge; got "hing"; did you mean hinge?',
      "unknown option --no-shuffle; write --shuffle false",
      "unknown option -q"
    ])
  })

  it("names the flag, what it got and what is allowed", async () => {
    expect(await problems("--model m --learning-rate -1 --max-steps 1.5")).toEqual([
      "--learning-rate: expected a value greater than 0; got -1",
      "--max-steps: expected an integer; got 1.5"
    ])
  })

  it.each([
    ["", "--model is missing: model folder"],
    ["--model a --model b", "--model is given 2 times: a, b"],
    ["--model m --alpha Infinity", "--alpha: expected a finite number; got Infinity"],
    ["--model m --alpha", "--alpha needs a value: a number"],
    ["--model m stray", 'unexpected argument "stray"'],
    ["--model m --max-steps=", '--max-steps: expected a number; got ""']
  ])("refuses %j", async (text, problem) => expect(await problems(text)).toEqual([problem]))

  const { logitBias } = samplingFields
  it.each([
    [{ a: 1 }, 'expected token ids for keys, and "a" is none; got {"a":1}'],
    [{ "-1": 1 }, 'expected token ids for keys, and "-1" is none; got {"-1":1}'],
    [[1], "expected a JSON object; got 1"],
    ['{"5":1e999}', 'key "5": expected a finite number; got {"5":"Infinity"}']
  ])("names what is wrong in the object %j", async (value, problem) => {
    const withBias = { ...line, options: Schema.Struct({ ...Options.fields, logitBias }) } as unknown as typeof line
    const text = typeof value === "string" ? value : JSON.stringify(value)
    expect((await failure(`--model m --logit-bias ${text}`, withBias)).message).toBe(`--logit-bias: ${problem}`)
    expect((await failure("--help", withBias)).message).toContain("added to the logits of tokens")
  })

  it("says which argument is missing", async () => {
    const withArgument = { ...line, arguments: [{ name: "RUN", description: "folder of the run" }] }
    expect((await failure("--model m", withArgument)).message).toBe("RUN is missing: folder of the run")
    expect((await parse("--shuffle runs/a --model m", withArgument)).arguments).toEqual(["runs/a"])
  })
})

describe("--help", () => {
  it("shows groups, defaults, choices and what is needed, whatever else is wrong", async () => {
    const { _tag, message } = await failure("--modle --help")
    expect(_tag).toBe("TextRequested")
    expect(message).toMatch(/^plumb test --model DIR\n\nA command\./)
    expect(message).toMatch(/^Files:\n +--model +model folder \[required\]$/m)
    expect(message).toMatch(/--learning-rate +peak learning rate +\[default: 1e-5\]/)
    expect(message).toContain("(sigmoid | ipo | hinge)")
    expect(message).toContain("--config")
  })
})

describe("--config", () => {
  let folder: string
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-config-"))))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const write = (name: string, text: string) => {
    const file = join(folder, name)
    writeFileSync(file, text)
    return file
  }

  it("gives options that flags win over, from YAML and from JSON", async () => {
    const yaml = write("a.yaml", "model: m\nlearningRate: 1.0e-3\nloss: [ipo]\nmaxSteps: 4\n")
    const json = write("a.json", '{"model":"m","learningRate":0.001,"loss":["ipo"],"maxSteps":4}')
    const expected = { model: "m", learningRate: 0.001, loss: ["ipo"], maxSteps: 9 }
    expect((await parse(`--config ${yaml} --max-steps 9`)).options).toMatchObject(expected)
    expect((await parse(`--config ${json} --max-steps 9`)).options).toMatchObject(expected)
  })

  it("refuses unknown keys with a suggestion", async () => {
    const file = write("b.yaml", "model: m\nlearning_rate: 1\nzzzz: 2\n")
    expect(await problems(`--config ${file}`)).toEqual([
      `${file}: unknown key "learning_rate"; did you mean learningRate?`,
      `${file}: unknown key "zzzz"`
    ])
  })

  it("names file and key of a wrong value", async () => {
    const file = write("c.yaml", "model: m\nlearningRate: -1\nloss: [ipo, hing]\n")
    expect(await problems(`--config ${file}`)).toEqual([
      `${file}: learningRate: expected a value greater than 0; got -1`,
      `${file}: loss: expected one or several of sigmoid, ipo, hinge; got "ipo","hing"`
    ])
  })

  it.each([
    ["missing.yaml", undefined, "no such file"],
    ["broken.json", "{", "cannot be parsed: "],
    ["list.yaml", "- a\n", "holds no keys"]
  ])("refuses %s", async (name, text, reason) => {
    const file = text === undefined ? join(folder, name) : write(name, text)
    const error = await failure(`--config ${file}`)
    expect(error._tag).toBe("ConfigFileInvalid")
    expect(error.message).toContain(`${file}: ${reason}`)
  })
})
