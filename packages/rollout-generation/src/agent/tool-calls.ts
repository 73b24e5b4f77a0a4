import type { Tool, ToolOutcome } from "./tool.ts"

/** A call as the policy wrote it. */
export interface ToolCall {
  readonly name: string
  readonly arguments: unknown
}

/** What stands where a call should, and why it is none. */
export interface MalformedCall {
  readonly malformed: string
}

/** What stands around a call that a Hermes or Qwen model writes. */
export const CALL_MARKS = { open: "<tool_call>", close: "</tool_call>" } as const

const FORM = '<tool_call>{"name": …, "arguments": {…}}</tool_call>'

/**
 * Calls as Hermes and Qwen models write them: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, one or several. One
 * that is not closed is none: it was not finished.
 */
export const taggedCalls = (text: string): ReadonlyArray<ToolCall | MalformedCall> =>
  // behind the last end nothing is closed, and each beginning would be followed to the end of the text
  Array.from(text.slice(0, text.lastIndexOf(close) + close.length).matchAll(CALL), ([, body]) => callIn(body!))

const { close, open } = CALL_MARKS
const CALL = new RegExp(`${open}([^]*?)${close}`, "g")

/** The call that a text between the marks is. */
export const callIn = (body: string): ToolCall | MalformedCall => {
  try {
    const { arguments: given = {}, name } = Object(JSON.parse(body)) as Partial<ToolCall>
    if (typeof name === "string") return { name, arguments: given }
    return { malformed: `a call needs a name: ${FORM}` }
  } catch {
    return { malformed: `a call must be JSON: ${FORM}` }
  }
}

/** What a system message tells a model so that `taggedCalls` finds its calls; the form is that of Hermes and Qwen. */
export const toolInstructions = (tools: ReadonlyArray<Tool>): string =>
  [
    "You may call these functions:",
    "<tools>",
    ...tools.map(({ description, name, parameters }) =>
      JSON.stringify({ type: "function", function: { name, description, parameters } })
    ),
    "</tools>",
    "To call one, write a JSON object with its name and arguments between tags:",
    "<tool_call>",
    '{"name": "function name", "arguments": {}}',
    "</tool_call>"
  ].join("\n")

/** What the policy is told of a call. */
export const outcomeText = (outcome: ToolOutcome): string => {
  switch (outcome._tag) {
    case "Returned":
      return outcome.text + cutText(outcome)
    case "Refused":
      return `error: ${outcome.reason}`
    case "Failed":
      return `error: ${outcome.reason}${cutText(outcome)}`
    case "TimedOut":
      return `error: no answer within ${outcome.seconds} s`
  }
}

const cutText = ({ cut }: { readonly cut?: number }): string =>
  cut === undefined ? "" : `\n[${cut} more characters were cut off]`
