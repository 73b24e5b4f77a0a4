import { expect, it } from "vitest"
import { taggedCalls } from "./tool-calls.ts"

const call = (name: string) => `<tool_call>{"name":"${name}"}</tool_call>`

it("finds the calls that are closed, and says of what is none why", () => {
  const calls = taggedCalls(`</tool_call> ${call("a")} <tool_call>{} ${call("b")}${call("c")}<tool_call>{"name":"d"}`)
  expect(calls).toEqual([
    { name: "a", arguments: {} },
    { malformed: expect.stringContaining("must be JSON") as string },
    { name: "c", arguments: {} }
  ])
  expect(taggedCalls('<tool_call>{"name":"a"}')).toEqual([])
})

it("reads a policy that begins calls for ever in the time that the text takes", () => {
  const before = process.cpuUsage()
  expect(taggedCalls(call("a") + "<tool_call>".repeat(50_000))).toHaveLength(1)
  // each followed to the end of the text, they took seven seconds
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(0.5)
})
