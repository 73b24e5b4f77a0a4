import { byteTokenizer, CHATML_SPECIALS, loadTokenizer } from "@plumbline/data"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import type { GeneratedResponse } from "../request.ts"
import { chatTurns } from "./turn-format.ts"

const response = (ids: ReadonlyArray<number>): GeneratedResponse => ({
  sample: 0,
  responseIds: Int32Array.from(ids),
  samplingLogProbs: new Float32Array(ids.length),
  policyLogProbs: new Float32Array(ids.length),
  policyVersions: new Int32Array(ids.length),
  finishReason: "stop",
  stop: undefined,
  topLogProbs: undefined
})

it("refuses templates that have no place for what a tool says", () => {
  const templates = [
    "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}"
  ]
  for (const chatTemplate of templates) {
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate })
    expect(() => chatTurns(tokenizer)).toThrow(expect.objectContaining({ _tag: "ChatTemplateInvalid" }))
  }
  expect(() => chatTurns(byteTokenizer({ specials: CHATML_SPECIALS }))).toThrow("chat template")
})

it("follows templates that quote what a tool says", async () => {
  const chatTemplate =
    "{% for m in messages %}[{{ m.role }}]{{ m.content | tojson if m.role == 'tool' else m.content }}<|im_end|>{% endfor %}" +
    "{% if add_generation_prompt %}[assistant]{% endif %}"
  const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate })
  const ids = await chatTurns(tokenizer).afterCalls(response([65, tokenizer.eosId!]), ['say "hi"\n'])
  expect(tokenizer.decode(ids)).toBe('[tool]"say \\"hi\\"\\n"<|im_end|>[assistant]')
})

const golden = fileURLToPath(new URL("../../../../../shared/golden/models/llama", import.meta.url))

it.skipIf(!existsSync(golden))("goes on in a chat as its template renders it whole", async () => {
  const tokenizer = await Effect.runPromise(loadTokenizer(golden))
  const messages = [
    { role: "user", content: "What is 2 + 3?" },
    { role: "assistant", content: "Let me see." },
    { role: "tool", content: "5" }
  ]
  const whole = tokenizer.renderChat(messages, { addGenerationPrompt: true })
  const upTo = whole.slice(0, whole.indexOf("Let me see.") + "Let me see.".length)
  const before = tokenizer.encode(upTo, { addSpecialTokens: false })
  const after = await chatTurns(tokenizer).afterCalls(response([...before]), ["5"])
  expect(tokenizer.decode([...before, ...after])).toBe(whole)
})
