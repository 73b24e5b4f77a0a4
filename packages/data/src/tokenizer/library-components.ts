import * as library from "@huggingface/tokenizers"
import type { Component } from "./definition.ts"

/** The model of a tokenizer.json: words in, tokens out. */
export interface LibraryModel {
  (words: ReadonlyArray<string>): ReadonlyArray<string>
  readonly tokens_to_ids: ReadonlyMap<string, number>
  readonly unk_token_id: number | undefined
}

type Normalizer = (text: string) => string

interface Components {
  readonly Tokenizer: new (
    definition: object,
    config: object
  ) => { readonly normalizer: Normalizer | null; readonly model: LibraryModel }
  readonly SplitPreTokenizer: new (component: Component) => { readonly pattern: RegExp | null }
  readonly WordPieceDecoder: new (component: Component) => TokenDecoder
  readonly BPEDecoder: new (component: Component) => TokenDecoder
  readonly CTCDecoder: new (component: Component) => TokenDecoder
}

interface TokenDecoder {
  readonly decode_chain: (tokens: ReadonlyArray<string>) => ReadonlyArray<string>
}

// its declarations leave out the components it exports, and say that callable classes are not
export const { Tokenizer, SplitPreTokenizer, WordPieceDecoder, BPEDecoder, CTCDecoder } =
  library as unknown as Components
