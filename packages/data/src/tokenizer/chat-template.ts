import { Template } from "@huggingface/jinja"
import { ChatTemplateInvalid } from "../errors.ts"
import type { Message } from "../records/records.ts"
import type { ChatOptions } from "./tokenizer.ts"

/** Half-open range of UTF-16 positions in a rendered chat. */
export type TextSpan = readonly [start: number, end: number]

export interface ChatTemplate {
  readonly source: string
  readonly render: (messages: ReadonlyArray<Message>, options: ChatOptions) => string
  /** The rendered chat and where the assistant wrote in it. */
  readonly renderWithSpans: (
    messages: ReadonlyArray<Message>,
    options: ChatOptions
  ) => { readonly text: string; readonly spans: ReadonlyArray<TextSpan> }
}

export interface ChatTemplateOptions {
  readonly tokenizer: string
  /** bos_token, eos_token, …: variables of the template. */
  readonly specials: Readonly<Record<string, string>>
}

/**
 * A Jinja chat template as transformers runs it. Its methods throw {@link ChatTemplateInvalid}.
 *
 * Spans come from `{% generation %}` markers; without them from what each assistant turn adds to the turns before it, which
 * needs a template that only ever appends.
 */
export const chatTemplate = (source: string, { tokenizer, specials }: ChatTemplateOptions): ChatTemplate => {
  const refuse = (reason: string) => new ChatTemplateInvalid({ tokenizer, reason })
  const render = (
    template: Template,
    messages: ReadonlyArray<Message>,
    { addGenerationPrompt, variables }: ChatOptions
  ): string => {
    try {
      const known = { tools: null, documents: null, ...specials, ...variables, messages }
      return template.render({ ...known, add_generation_prompt: addGenerationPrompt })
    } catch (cause) {
      throw refuse((cause as Error).message)
    }
  }
  const parse = (text: string): Template => {
    try {
      return new Template(text)
    } catch (cause) {
      throw refuse(`not a template: ${(cause as Error).message}`)
    }
  }
  const marked = markGeneration(source)
  const parsed = parse(marked.template)
  const renderMarked = (messages: ReadonlyArray<Message>, options: ChatOptions) => render(parsed, messages, options)
  const renderPlain = (messages: ReadonlyArray<Message>, options: ChatOptions) =>
    renderMarked(messages, options).replaceAll(OPEN, "").replaceAll(CLOSE, "")
  return {
    source,
    render: renderPlain,
    renderWithSpans: (messages, options) => {
      const text = renderPlain(messages, options)
      if (!marked.found) return { text, spans: turnSpans(text, messages, renderPlain, refuse) }
      const spans = markedSpans(renderMarked(messages, options))
      if (spans === undefined) throw refuse("its generation markers do not come in pairs")
      return { text, spans }
    }
  }
}

// Unicode noncharacters, which no interchanged text contains
const OPEN = "\uFDD0"
const CLOSE = "\uFDD1"

/**
 * Puts sentinel characters where the generation tags stand, with the whitespace control of Jinja's trim_blocks and
 * lstrip_blocks applied to those tags; the engine only deletes them.
 */
const markGeneration = (source: string): { readonly template: string; readonly found: boolean } => {
  let found = false
  const template = source
    .replace(/^[ \t]*(\{[#%-])/gm, "$1")
    .replace(/(\s*)\{%(-?)\s*(end)?generation\s*(-?)%\}(\s*)/g, (_, before, left, end, right, after) => {
      found = true
      const head = left === "-" ? "" : before
      const tail = right === "-" ? "" : after.replace(/^\n/, "")
      return head + (end === undefined ? OPEN : CLOSE) + tail
    })
  return { template, found }
}

/** Spans between sentinels, in positions of the text without them; undefined where they do not pair. */
const markedSpans = (marked: string): ReadonlyArray<TextSpan> | undefined => {
  const spans: Array<TextSpan> = []
  let position = 0
  let opened: number | undefined
  for (const part of marked.split(/([\uFDD0\uFDD1])/)) {
    if (part === OPEN && opened === undefined) opened = position
    else if (part === CLOSE && opened !== undefined) {
      if (position > opened) spans.push([opened, position])
      opened = undefined
    } else if (part === OPEN || part === CLOSE) return undefined
    else position += part.length
  }
  return opened === undefined ? spans : undefined
}

type Render = (messages: ReadonlyArray<Message>, options: ChatOptions) => string

const turnSpans = (
  text: string,
  messages: ReadonlyArray<Message>,
  render: Render,
  refuse: (reason: string) => ChatTemplateInvalid
): ReadonlyArray<TextSpan> =>
  messages.flatMap((message, turn) => {
    if (message.role !== "assistant") return []
    const before = render(messages.slice(0, turn), { addGenerationPrompt: true })
    const after = render(messages.slice(0, turn + 1), { addGenerationPrompt: false })
    if (!after.startsWith(before) || !text.startsWith(after)) {
      throw refuse(
        `not prefix-preserving: turn ${turn + 1} changes the text before it, so no assistant mask can be made`
      )
    }
    return [[before.length, after.length] as const]
  })
