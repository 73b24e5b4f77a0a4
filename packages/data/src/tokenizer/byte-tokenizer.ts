import { assembleTokenizer } from "./assemble.ts"
import { BYTE_CHARACTERS, byteVocabulary } from "./byte-level.ts"
import type { AddedToken, TokenizerDefinition } from "./definition.ts"
import type { Engine } from "./engines.ts"
import type { SpecialTokenFields } from "./special-tokens.ts"
import type { TokenizerShape } from "./tokenizer.ts"

/** ChatML with generation markers, so assistant masks come from the template. */
export const CHATML_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}" +
  "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}" +
  "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** Special tokens that {@link CHATML_TEMPLATE} needs, and a pad token. */
export const CHATML_SPECIALS: ReadonlyArray<string> = ["<|pad|>", "<|im_start|>", "<|im_end|>"]

/** Special tokens of a tokenizer made here, and what each is for. */
export interface SpecialTokenOptions {
  readonly specials: ReadonlyArray<string>
  /** Which of `specials` ends a response. Default `<|im_end|>`, or none where it is not among them. */
  readonly eos?: string
  /** Default `<|pad|>`, or none where it is not among them. */
  readonly pad?: string
  /** Default none. It is named only; nothing puts it before a text. */
  readonly bos?: string
  /** Jinja source. Default none. */
  readonly chatTemplate?: string
}

/** A vocabulary of the 256 bytes, ids 0 to 255, and the special tokens after them: any text, nothing to train. */
export const byteTokenizer = (options: SpecialTokenOptions): TokenizerShape => {
  const definition = byteLevelDefinition({
    vocab: byteVocabulary(0),
    merges: [],
    specials: options.specials.map((content, i) => [content, BYTE_CHARACTERS.length + i] as const),
    pattern: undefined
  })
  return fromDefinition("byte vocabulary", () => definition, options)
}

export interface ByteLevelVocabulary {
  readonly vocab: ReadonlyArray<readonly [token: string, id: number]>
  readonly merges: ReadonlyArray<readonly [string, string]>
  readonly specials: ReadonlyArray<readonly [token: string, id: number]>
  /** Cuts words; undefined keeps the text whole. */
  readonly pattern: string | undefined
  readonly ignoreMerges?: boolean
}

/** tokenizer.json of a byte-level BPE. */
export const byteLevelDefinition = (vocabulary: ByteLevelVocabulary): TokenizerDefinition => {
  const { vocab, merges, specials, pattern, ignoreMerges = false } = vocabulary
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
  const words = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map(([content, id]) => specialToken(content, id)),
    normalizer: null,
    pre_tokenizer: pattern === undefined ? bytes : { type: "Sequence", pretokenizers: [words, bytes] },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      // specials too: the Rust library renumbers an added token that its model does not know
      vocab: Object.fromEntries([...specials, ...vocab]),
      merges
    }
  }
}

/**
 * A tokenizer made here, with the files that a Hugging Face folder needs to know it.
 *
 * @param definition its tokenizer.json; with an engine at hand merges are worked out only when the files are asked for
 */
export const fromDefinition = (
  source: string,
  definition: (withMerges: boolean) => TokenizerDefinition,
  { engine, ...options }: SpecialTokenOptions & { readonly engine?: Engine }
): TokenizerShape => {
  const config = specialTokenConfig(options)
  const template = options.chatTemplate
  const files = () => ({
    "tokenizer.json": JSON.stringify(definition(true), undefined, 1),
    "tokenizer_config.json": `${JSON.stringify(config, undefined, 2)}\n`,
    ...(template === undefined ? {} : { "chat_template.jinja": template })
  })
  const parts = { source, definition: definition(engine === undefined), config, template, stopIds: [], files }
  return assembleTokenizer(engine === undefined ? parts : { ...parts, engine })
}

const specialToken = (content: string, id: number): AddedToken => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true
})

const specialTokenConfig = (options: SpecialTokenOptions): SpecialTokenFields => {
  const named = (content: string) => (options.specials.includes(content) ? content : undefined)
  const { bos, eos = named("<|im_end|>"), pad = named("<|pad|>") } = options
  for (const content of [bos, eos, pad]) {
    if (content !== undefined && named(content) === undefined)
      throw new RangeError(`${content} is not among the special tokens`)
  }
  return {
    ...(bos === undefined ? {} : { bos_token: bos }),
    ...(eos === undefined ? {} : { eos_token: eos }),
    ...(pad === undefined ? {} : { pad_token: pad }),
    model_max_length: 1e30,
    clean_up_tokenization_spaces: false,
    tokenizer_class: "PreTrainedTokenizerFast"
  }
}
