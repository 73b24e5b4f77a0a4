import { describe, expect, it } from "vitest"
import { splitText, type SplitText, toolText } from "./tool-text.ts"

const call = (name: string, given: unknown) =>
  `<tool_call>\n${JSON.stringify({ name, arguments: given })}\n</tool_call>`
const said = ({ calls, content }: SplitText) => [content, calls.map((one) => one.function)]

describe("calls of tools in a text", () => {
  const weather = { name: "weather", arguments: '{"city":"Oslo"}' }
  const oslo = call("weather", { city: "Oslo" })
  const cases: ReadonlyArray<readonly [text: string, content: string, calls: ReadonlyArray<object>]> = [
    ["", "", []],
    [" plain \n", " plain \n", []],
    [oslo, "", [weather]],
    [`I look.\n\n${oslo}\n${oslo}\n`, "I look.", [weather, weather]],
    [`${oslo} so <tool_calls> it is `, "so <tool_calls> it is ", [weather]],
    [`a <tool_call>no JSON</tool_call> b`, "a <tool_call>no JSON</tool_call> b", []],
    [`a ${oslo.slice(0, -1)}`, `a ${oslo.slice(0, -1)}`, []],
    ["a  <tool_c", "a  <tool_c", []],
    [
      call("now", "{}") + call("then", {}),
      "",
      [
        { name: "now", arguments: "{}" },
        { name: "then", arguments: "{}" }
      ]
    ],
    ['<tool_call>{"name":"now"}</tool_call>', "", [{ name: "now", arguments: "{}" }]]
  ]

  it.each(cases)("%j", (text, content, calls) => {
    expect(said(splitText(text))).toEqual([content, calls])
  })

  it.each(cases)("%j, in pieces however they come", (text, content, calls) => {
    for (let size = 1; size <= Math.min(text.length, 14); size++) {
      const { finish, push } = toolText()
      const parts: Array<SplitText> = []
      for (let i = 0; i < text.length; i += size) parts.push(push(text.slice(i, i + size)))
      parts.push(finish())
      const joined = { content: parts.map((part) => part.content).join(""), calls: parts.flatMap((part) => part.calls) }
      expect(said(joined)).toEqual([content, calls])
    }
  })

  it("are told as soon as they are finished, and text before them at once", () => {
    const { push } = toolText()
    expect(said(push("I look. "))).toEqual(["I look.", []])
    expect(said(push(oslo.slice(0, -3)))).toEqual(["", []])
    expect(said(push(oslo.slice(-3)))).toEqual(["", [weather]])
  })

  it("have ids of their own", () => {
    const { calls } = splitText(oslo + oslo)
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2)
    expect(calls[0]).toMatchObject({ id: expect.stringMatching(/^call_[0-9a-f]{32}$/) as string, type: "function" })
  })

  it("that never end take no time that grows with what came before", () => {
    const { finish, push } = toolText()
    push("<tool_call>")
    for (let i = 0; i < 200_000; i++) push("word ")
    expect(finish().content).toHaveLength("<tool_call>".length + 1_000_000)
  })
})
