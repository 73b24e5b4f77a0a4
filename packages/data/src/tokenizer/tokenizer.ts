import { Context, Layer } from "effect"
import type { Message } from "../records/records.ts"

export interface EncodeOptions {
  /** Adds what the tokenizer's post-processor adds (BOS, …). Default true. */
  readonly addSpecialTokens?: boolean
}

export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default false. */
  readonly skipSpecialTokens?: boolean
}

export interface ChatOptions {
  /** Ends with the header of an assistant turn, for the model to go on from. */
  readonly addGenerationPrompt: boolean
  /** Variables of the template beside messages and special tokens, as `enable_thinking`. */
  readonly variables?: TemplateVariables | undefined
}

/** JSON values by name. */
export type TemplateVariables = Readonly<Record<string, unknown>>

export interface EncodedChat {
  /** [T] int32, the rendered chat tokenized once */
  readonly ids: Int32Array
  /** [T] 1 = written by the assistant */
  readonly assistantMask: Uint8Array
}

export interface TokenizerShape {
  /** Engine and definition, e.g. `tiktoken: models/llama/tokenizer.json`. */
  readonly name: string
  /** One above the largest id. */
  readonly vocabSize: number
  readonly bosId: number | undefined
  readonly eosId: number | undefined
  /** The pad token's id; where there is none EOS's, else 0. */
  readonly padId: number
  /** Every id that ends a response: EOS and those of generation_config.json. */
  readonly stopIds: ReadonlyArray<number>
  /** What the post-processor puts before and after a text. */
  readonly prefixIds: Int32Array
  readonly suffixIds: Int32Array
  /** sha256 of the files that define it, hexadecimal. */
  readonly digest: string
  /** The files of a Hugging Face folder that define it, by name. */
  readonly files: Readonly<Record<string, string>>
  readonly encode: (text: string, options?: EncodeOptions) => Int32Array
  readonly decode: (ids: ArrayLike<number>, options?: DecodeOptions) => string
  /** Bytes of a token that by itself may be no text, as in byte alphabets; undefined where tokens are texts. */
  readonly tokenBytes: (id: number) => Uint8Array | undefined
  /** Source text of the Jinja template. */
  readonly chatTemplate: string | undefined
  /** @throws ChatTemplateInvalid */
  readonly renderChat: (messages: ReadonlyArray<Message>, options: ChatOptions) => string
  /**
   * Renders and tokenizes once, so no BOS is doubled.
   *
   * @throws ChatTemplateInvalid, also where assistant turns cannot be told apart
   */
  readonly encodeChat: (messages: ReadonlyArray<Message>, options: ChatOptions) => EncodedChat
}

export class Tokenizer extends Context.Service<Tokenizer, TokenizerShape>()("@plumbline/data/Tokenizer") {
  static readonly layer = (tokenizer: TokenizerShape) => Layer.succeed(Tokenizer, tokenizer)
}

/** Files that make a Hugging Face folder know this tokenizer; transformers' AutoTokenizer opens them. */
export const tokenizerFiles = (tokenizer: TokenizerShape): Readonly<Record<string, string>> => tokenizer.files
