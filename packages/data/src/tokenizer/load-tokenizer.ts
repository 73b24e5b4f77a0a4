import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { attempt, FileMissing, TokenizerInvalid } from "../errors.ts"
import { assembleTokenizer } from "./assemble.ts"
import type { TokenizerDefinition } from "./definition.ts"
import type { SpecialTokenFields } from "./special-tokens.ts"
import { TOKEN_IDS, tokenIdsOf } from "./token-ids.ts"
import type { TokenizerShape } from "./tokenizer.ts"
import { notJson } from "../files/not-json.ts"

const OWN_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"]

/**
 * The tokenizer of a Hugging Face folder, from tokenizer.json, tokenizer_config.json, special_tokens_map.json,
 * chat_template.jinja, and for the ids that end a response generation_config.json or config.json.
 */
export const loadTokenizer = Effect.fn("loadTokenizer")(function* (dir: string) {
  const file = join(dir, "tokenizer.json")
  if (!existsSync(file)) return yield* new FileMissing({ file })
  const files: Record<string, string> = {}
  for (const name of OWN_FILES.filter((own) => existsSync(join(dir, own))))
    files[name] = yield* readText(join(dir, name))
  return yield* tokenizerOfFiles(dir, files, yield* readStopIds(dir))
})

/**
 * A tokenizer from the texts of its own files, by name.
 *
 * @param dir     where they lie, for messages
 * @param stopIds ids that end a response beside the EOS token's
 */
export const tokenizerOfFiles = Effect.fnUntraced(function* (
  dir: string,
  files: Readonly<Record<string, string>>,
  stopIds: ReadonlyArray<number>
) {
  const file = join(dir, "tokenizer.json")
  const config: SpecialTokenFields = {
    ...(yield* parseObject(join(dir, "special_tokens_map.json"), files["special_tokens_map.json"])),
    ...(yield* parseObject(join(dir, "tokenizer_config.json"), files["tokenizer_config.json"]))
  }
  const definition = yield* parseDefinition(file, files["tokenizer.json"]!)
  const template = yield* templateText(dir, files["chat_template.jinja"], config)
  return yield* attempt((): TokenizerShape =>
    assembleTokenizer({ source: file, definition, config, template, stopIds, files: () => files })
  )
})

const readText = (file: string) =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) => new TokenizerInvalid({ file, reason: (cause as Error).message })
  })

const parseObject = Effect.fnUntraced(function* (file: string, text: string | undefined) {
  if (text === undefined) return {}
  const value = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => new TokenizerInvalid({ file, reason: notJson(text, cause) })
  })
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return yield* new TokenizerInvalid({ file, reason: "not a JSON object" })
  }
  return value as Readonly<Record<string, unknown>>
})

const parseDefinition = Effect.fnUntraced(function* (file: string, text: string) {
  const value = yield* parseObject(file, text)
  const model = value.model as Partial<TokenizerDefinition["model"]> | undefined
  if (typeof model !== "object" || model.vocab === undefined) {
    return yield* new TokenizerInvalid({ file, reason: "has no model.vocab" })
  }
  const defaults = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null }
  const type =
    model.type ?? (model.merges === undefined ? (Array.isArray(model.vocab) ? "Unigram" : "WordPiece") : "BPE")
  return { ...defaults, ...value, model: { ...model, type } } as unknown as TokenizerDefinition
})

const readStopIds = Effect.fnUntraced(function* (dir: string) {
  for (const name of ["generation_config.json", "config.json"]) {
    const file = join(dir, name)
    if (!existsSync(file)) continue
    const { eos_token_id } = yield* parseObject(file, yield* readText(file))
    const ids = tokenIdsOf(eos_token_id)
    if (ids === undefined) return yield* new TokenizerInvalid({ file, reason: `eos_token_id must be ${TOKEN_IDS}` })
    if (ids.length > 0) return ids
  }
  return []
})

const templateText = Effect.fnUntraced(function* (dir: string, jinja: string | undefined, config: SpecialTokenFields) {
  if (jinja !== undefined) return jinja
  const field = config.chat_template
  if (field === undefined || field === null) return undefined
  if (typeof field === "string") return field
  const named = field as ReadonlyArray<{ readonly name: string; readonly template: string }>
  const chosen = Array.isArray(named) ? named.find(({ name }) => name === "default") : undefined
  if (chosen !== undefined) return chosen.template
  const file = join(dir, "tokenizer_config.json")
  return yield* new TokenizerInvalid({ file, reason: "chat_template is neither a text nor a list with a default" })
})
