import { Schema } from "effect"
import { form } from "../records/forms.ts"
import { assistant, type Converter, type Made, rowByRow, user } from "./converter.ts"

const Instance = Schema.Struct({ input: Schema.String, output: Schema.String })

const chat = (instruction: string, input: string, output: string): Made =>
  output.trim() === ""
    ? "the output is empty"
    : [
        {
          messages: [
            user(input.trim() === "" ? instruction.trim() : `${instruction.trim()}\n\n${input.trim()}`),
            assistant(output.trim())
          ]
        }
      ]

const instructed = form(
  { instruction: Schema.String, output: Schema.String },
  { input: Schema.String },
  ({ input, instruction, output }): Made => chat(instruction, (input as string | undefined) ?? "", output)
)

/** The seed tasks that Alpaca's were made from, by the form of Self-Instruct. */
const seedTask = form(
  { instruction: Schema.String, instances: Schema.Array(Instance) },
  {},
  ({ instances, instruction }): Made => {
    const chats = instances.map(({ input, output }) => chat(instruction, input, output))
    const rows = chats.flatMap((made) => (typeof made === "string" ? [] : made))
    return rows.length === 0 ? "every output is empty" : rows
  }
)

export const alpaca: Converter = {
  name: "alpaca",
  summary: "tatsu-lab/alpaca and Self-Instruct's seed tasks: instruction, input, output",
  makes: { demonstrations: rowByRow(instructed, seedTask) }
}
