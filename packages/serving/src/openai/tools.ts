import { CALL_MARKS } from "@plumbline/rollout-generation"
import { Schema } from "effect"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import { isObject } from "./decode-request.ts"
import { reads } from "./template-variables.ts"

/** OpenAI's limit. */
const MOST_TOOLS = 128

const NO_TOOLS =
  "tool calls are not supported for this model: its chat template does not tell of tools in the form that is read here, " +
  "<tool_call>{…}</tool_call>; put the tools into the messages"

/**
 * Whether a chat template tells a model of tools and has it write calls as Hermes and Qwen models do, as JSON between
 * `<tool_call>` and `</tool_call>`: the form that `toolText` finds.
 */
export const takesTools = (template: string | undefined): boolean =>
  template !== undefined && reads(template, "tools") && template.includes(CALL_MARKS.open)

const Tool = Schema.Struct({
  type: Schema.Literal("function"),
  function: Schema.Struct({
    name: Schema.String.check(Schema.isPattern(/^[\w.-]{1,64}$/)),
    description: Schema.optionalKey(Schema.String),
    /** A JSON Schema. */
    parameters: Schema.optionalKey(Schema.declare(isObject, { expected: "an object" }))
  })
})
export type Tool = typeof Tool.Type

/** `tools`: functions of the client that the model may call. */
export const readTools = (template: string | undefined, tools: unknown): ReadonlyArray<Tool> | RequestRefused => {
  if (tools === undefined) return []
  if (!Array.isArray(tools)) return badField("tools", "must be a list of functions")
  if (tools.length === 0) return []
  if (!takesTools(template)) return badField("tools", NO_TOOLS, "unsupported_parameter")
  if (tools.length > MOST_TOOLS) return badField("tools", `has ${tools.length} functions; ${MOST_TOOLS} is the most`)
  const read: Array<Tool> = []
  for (const [i, one] of tools.entries()) {
    const tool = readTool(one, `tools[${i}]`)
    if (!("type" in tool)) return tool
    read.push(tool)
  }
  const names = read.map((tool) => tool.function.name)
  const twice = names.findIndex((name, i) => names.indexOf(name) < i)
  return twice < 0 ? read : badField(`tools[${twice}].function.name`, "is the name of another function, too")
}

const readTool = (value: unknown, place: string): Tool | RequestRefused => {
  const { function: given, type } = isObject(value) ? value : {}
  if (type !== "function" || !isObject(given)) {
    return badField(place, 'must be { "type": "function", "function": { "name": …, … } }')
  }
  const { strict, ...described } = given
  if (strict === true) {
    const reason = "is not supported: the model writes calls freely; leave it out, and check the arguments"
    return badField(`${place}.function.strict`, reason, "unsupported_parameter")
  }
  const said = Object.fromEntries(Object.entries(described).filter(([, field]) => field !== null))
  const tool = { type, function: said }
  if (isTool(tool)) return tool
  const reason =
    "must have a name of 1 to 64 letters, digits, _, - or ., a text as description and an object as parameters"
  return badField(`${place}.function`, reason)
}

const isTool = Schema.is(Tool)
