import { describe, expect, it } from "vitest"
import { ChatTemplateInvalid } from "../errors.ts"
import type { Message } from "../records/records.ts"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "./byte-tokenizer.ts"
import type { TemplateVariables } from "./tokenizer.ts"
import { trainByteLevelBpe } from "./train-bpe.ts"

const CHAT: ReadonlyArray<Message> = [
  { role: "user", content: "hi" },
  { role: "assistant", content: "yo\n there" },
  { role: "user", content: "é" },
  { role: "assistant", content: "日." }
]
const WHOLE = { addGenerationPrompt: false }

const bytes = (chatTemplate?: string) =>
  byteTokenizer({ specials: CHATML_SPECIALS, ...(chatTemplate === undefined ? {} : { chatTemplate }) })

const masked = (chatTemplate: string, chat = CHAT): string => {
  const tokenizer = bytes(chatTemplate)
  const { ids, assistantMask } = tokenizer.encodeChat(chat, WHOLE)
  return tokenizer.decode(ids.filter((_, t) => assistantMask[t] === 1))
}

const refusal = (run: () => unknown): ChatTemplateInvalid => {
  try {
    run()
  } catch (cause) {
    if (cause instanceof ChatTemplateInvalid) return cause
    throw cause
  }
  throw new Error("was not refused")
}

describe("chat templates", () => {
  it("read variables beside the messages, which nobody can replace", () => {
    const template =
      "{{ messages[0].content }}{{ eos_token }}{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}{{ list[1].a if list is defined }}"
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: template })
    const render = (variables?: TemplateVariables) =>
      tokenizer.renderChat(CHAT, { addGenerationPrompt: true, variables })
    const plain = render()
    expect(plain).toBe("hi<|im_end|>")
    expect(render({ enable_thinking: true })).toBe(plain)
    expect(render({ enable_thinking: false, list: [0, { a: 5 }] })).toBe(`${plain}<think></think>5`)
    expect(render({ messages: [{ content: "no" }] })).toBe(plain)
  })

  // rendered texts and masked texts by transformers 5.18 (apply_chat_template with return_assistant_tokens_mask)
  it.each([
    {
      name: "block tags on their own lines",
      template:
        "{% for m in messages %}\n  {% if m.role == 'assistant' %}\n    {% generation %}\n{{ m.content }}<|im_end|>\n    {% endgeneration %}\n\n  {% else %}\n{{ m.role }}: {{ m.content }}\n  {% endif %}\n{% endfor %}\n",
      rendered: "user: hi\nyo\n there<|im_end|>\n\nuser: é\n日.<|im_end|>\n\n",
      mask: "yo\n there<|im_end|>\n日.<|im_end|>\n"
    },
    {
      name: "dashes on both sides of the tags",
      template:
        '{%- for message in messages %}\n    {%- if message.role == "assistant" %}\n        {{- \'<|im_start|>\' }}  \n        {%- generation -%}\n        {{- message.content + eos_token }}\n        {%- endgeneration -%}\n   tail\n    {%- else %}\n        {{- message.role + ": " + message.content + "\\n" }}\n    {%- endif %}\n{%- endfor %}',
      rendered: "user: hi\n<|im_start|>yo\n there<|im_end|>tailuser: é\n<|im_start|>日.<|im_end|>tail",
      mask: "yo\n there<|im_end|>日.<|im_end|>"
    },
    {
      name: "spaces inside the tags",
      template:
        "{% for m in messages %}{{ m.role }} > {% generation %} {{ m.content }} {% endgeneration %} <{% endfor %}",
      rendered: "user >  hi  <assistant >  yo\n there  <user >  é  <assistant >  日.  <",
      mask: " hi  yo\n there  é  日. "
    },
    {
      name: "a dashed output inside",
      template: "{% for m in messages %}a  {% generation %}{{- m.content -}}{% endgeneration %}  b\n{% endfor %}",
      rendered: "a  hi  b\na  yo\n there  b\na  é  b\na  日.  b\n",
      mask: "hiyo\n thereé日."
    },
    {
      name: "an empty span",
      template: "{% for m in messages %}{{ m.content }}{% generation %}{% endgeneration %};{% endfor %}",
      rendered: "hi;yo\n there;é;日.;",
      mask: ""
    }
  ])("render and mask $name", ({ template, rendered, mask }) => {
    expect(bytes(template).renderChat(CHAT, WHOLE)).toBe(rendered)
    expect(masked(template)).toBe(mask)
  })

  it("without markers mask what each assistant turn adds", () => {
    const plain = CHATML_TEMPLATE.replaceAll(/\{% (end)?generation %\}/g, "")
    expect(masked(plain)).toBe("yo\n there<|im_end|>\n日.<|im_end|>\n")
    expect(masked(CHATML_TEMPLATE)).toBe("yo\n there<|im_end|>日.<|im_end|>")
  })

  it("without markers refuse to mask where a later turn changes an earlier one", () => {
    const lastOnly =
      "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.role + ':' + m.content + ';' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    const error = refusal(() => bytes(lastOnly).encodeChat(CHAT, WHOLE))
    expect(error.reason).toMatch(/^not prefix-preserving: turn 2 /)
  })

  // both texts occur twice, so each is one token in the end: " yes" starts, "yesx" ends outside the span
  it.each([
    { before: "say ", after: "", texts: ["say", " yes"], mask: [0, 1] },
    { before: "", after: "x say", texts: ["yesx", " say"], mask: [1, 0] }
  ])("give a token that straddles a span's edge to the span: $before|$after", ({ before, after, texts, mask }) => {
    const corpus = ["say yes", "say yes", "yesx say", "yesx say"]
    const chatTemplate = `{{ '${before}' }}{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ '${after}' }}`
    const tokenizer = trainByteLevelBpe(corpus, { vocabSize: 300, specials: [], chatTemplate })
    const { ids, assistantMask } = tokenizer.encodeChat([{ role: "assistant", content: "yes" }], WHOLE)
    expect(Array.from(ids, (id) => tokenizer.decode([id]))).toEqual(texts)
    expect([...assistantMask]).toEqual(mask)
  })

  it("see special tokens as variables and can refuse messages", () => {
    const strict =
      "{% if messages[0].role != 'user' %}{{ raise_exception('must start with user') }}{% endif %}{{ eos_token }}"
    expect(bytes(strict).renderChat(CHAT, WHOLE)).toBe("<|im_end|>")
    expect(refusal(() => bytes(strict).renderChat(CHAT.slice(1), WHOLE)).message).toContain("must start with user")
  })

  it("are typed errors where they are absent, do not parse or leave a marker open", () => {
    expect(refusal(() => bytes().renderChat(CHAT, WHOLE)).message).toContain("there is none")
    expect(refusal(() => bytes("{% for %}")).reason).toMatch(/^not a template: /)
    const open = bytes("{% generation %}{{ messages[0].content }}")
    expect(refusal(() => open.encodeChat(CHAT, WHOLE)).reason).toContain("do not come in pairs")
  })
})
