import { CALL_MARKS, callIn } from "@plumbline/rollout-generation"
import { randomUUID } from "node:crypto"
import { begun } from "./held-text.ts"

/** A call as OpenAI's API has it: `arguments` is JSON. */
export interface WrittenCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/** What of a response is text for people, and what calls functions. */
export interface SplitText {
  readonly content: string
  readonly calls: ReadonlyArray<WrittenCall>
}

/** Parts the text of one response as it comes. What was handed out is never taken back. */
export interface ToolText {
  readonly push: (text: string) => SplitText
  /** What is still held: a call that was not finished is text. */
  readonly finish: () => SplitText
}

const { close: CLOSE, open: OPEN } = CALL_MARKS

/**
 * Calls are written as Hermes and Qwen models do, `<tool_call>{"name": …, "arguments": {…}}</tool_call>`; what stands there and
 * is none is text. White space between text and calls belongs to neither.
 */
export const toolText = (): ToolText => {
  /** Text that may yet be white space before a call, or the beginning of its mark. */
  let held = ""
  /** Of a call that has begun, the pieces of its body and what `CLOSE` may have begun in. */
  let body: Array<string> | undefined
  let tail = ""
  /** Only white space came since the last call. */
  let behindCall = false

  const text = (said: string): string => {
    const told = behindCall ? said.trimStart() : said
    if (told !== "") behindCall = false
    return told
  }
  /** Text up to the next call. @returns it, and what is left to be read within the call */
  const outside = (said: string): readonly [content: string, rest: string | undefined] => {
    const whole = held + said
    const at = whole.indexOf(OPEN)
    const free = whole.slice(0, at < 0 ? whole.length - begun(whole, OPEN) : at).trimEnd().length
    const content = text(whole.slice(0, free))
    held = whole.slice(free, at < 0 ? undefined : at)
    if (at < 0) return [content, undefined]
    ;[body, tail] = [[], ""]
    return [content, whole.slice(at + OPEN.length)]
  }
  /** The rest of a call. @returns the call or the text that it is, and what is left to be read behind it */
  const inside = (said: string): readonly [split: SplitText, rest: string | undefined] => {
    const seen = tail + said
    const at = seen.indexOf(CLOSE)
    if (at < 0) {
      tail = seen.slice(-Math.min(seen.length, CLOSE.length - 1))
      body!.push(seen.slice(0, seen.length - tail.length))
      return [NOTHING, undefined]
    }
    const written = body!.join("") + seen.slice(0, at)
    const call = callOf(written)
    const before = held
    ;[held, body] = ["", undefined]
    const rest = seen.slice(at + CLOSE.length)
    if (call === undefined) return [{ content: text(before + OPEN + written + CLOSE), calls: [] }, rest]
    behindCall = true
    return [{ content: "", calls: [call] }, rest]
  }
  return {
    push: (said) => {
      const all: Array<SplitText> = []
      for (let rest: string | undefined = said; rest !== undefined;) {
        if (body === undefined) {
          const [content, next] = outside(rest)
          all.push({ content, calls: [] })
          rest = next
        } else {
          const [split, next] = inside(rest)
          all.push(split)
          rest = next
        }
      }
      return { content: all.map(({ content }) => content).join(""), calls: all.flatMap(({ calls }) => calls) }
    },
    finish: () => {
      const unfinished = body === undefined ? "" : OPEN + body.join("") + tail
      return { content: text(held + unfinished), calls: [] }
    }
  }
}

/** The same of a whole text. */
export const splitText = (whole: string): SplitText => {
  const { finish, push } = toolText()
  const [most, last] = [push(whole), finish()]
  return { content: most.content + last.content, calls: most.calls }
}

const NOTHING: SplitText = { content: "", calls: [] }

const callOf = (body: string): WrittenCall | undefined => {
  const call = callIn(body)
  if ("malformed" in call) return undefined
  const given = typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments)
  return {
    id: `call_${randomUUID().replaceAll("-", "")}`,
    type: "function",
    function: { name: call.name, arguments: given }
  }
}
