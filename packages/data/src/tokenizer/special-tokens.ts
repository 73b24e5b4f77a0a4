import type { AddedToken, TokenizerDefinition } from "./definition.ts"
import { vocabularyEntries } from "./definition.ts"

type TokenField = string | (Partial<AddedToken> & { readonly content: string })

/** What tokenizer_config.json and special_tokens_map.json say about special tokens. */
export interface SpecialTokenFields {
  readonly bos_token?: TokenField | null
  readonly eos_token?: TokenField | null
  readonly unk_token?: TokenField | null
  readonly sep_token?: TokenField | null
  readonly pad_token?: TokenField | null
  readonly cls_token?: TokenField | null
  readonly mask_token?: TokenField | null
  readonly additional_special_tokens?: ReadonlyArray<TokenField> | null
  readonly extra_special_tokens?: ReadonlyArray<TokenField> | Readonly<Record<string, TokenField>> | null
  /** transformers 4 lists all added tokens here, by id. */
  readonly added_tokens_decoder?: Readonly<Record<string, Partial<AddedToken> & { readonly content: string }>> | null
  readonly [key: string]: unknown
}

const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] as const
export type SpecialName = (typeof NAMES)[number]

/** Texts of the named special tokens; chat templates see them as variables. */
export const namedSpecials = (fields: SpecialTokenFields): Readonly<Partial<Record<SpecialName, string>>> =>
  Object.fromEntries(NAMES.flatMap((name) => (fields[name] ? [[name, contentOf(fields[name])] as const] : [])))

/**
 * Added tokens of a definition plus those that only the configuration names, as transformers adds
 * them: with the id the vocabulary has for their text, else the next free one.
 */
export const withSpecialTokens = (definition: TokenizerDefinition, fields: SpecialTokenFields): TokenizerDefinition => {
  const known = new Map(definition.added_tokens.map((token) => [token.content, token]))
  const idOf = new Map(vocabularyEntries(definition.model))
  let next = [...idOf.values(), ...[...known.values()].map(({ id }) => id)].reduce((a, b) => Math.max(a, b), -1) + 1
  const named = new Set(listed(fields).map(contentOf))
  for (const field of [...Object.values(fields.added_tokens_decoder ?? {}), ...listed(fields)]) {
    const content = contentOf(field)
    if (known.has(content)) continue
    const settings: Partial<AddedToken> = typeof field === "string" ? {} : field
    const special = named.has(content) || settings.special === true
    known.set(content, { normalized: !special, ...settings, content, special, id: idOf.get(content) ?? next++ })
  }
  return { ...definition, added_tokens: [...known.values()] }
}

const contentOf = (field: TokenField): string => (typeof field === "string" ? field : field.content)

const listed = (fields: SpecialTokenFields): ReadonlyArray<TokenField> => {
  const extra = fields.extra_special_tokens ?? []
  const lists = [...(fields.additional_special_tokens ?? []), ...(Array.isArray(extra) ? extra : Object.values(extra))]
  return [...NAMES.flatMap((name) => (fields[name] ? [fields[name]] : [])), ...(lists as ReadonlyArray<TokenField>)]
}
