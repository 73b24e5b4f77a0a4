import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "../tokenizer/byte-tokenizer.ts"
import { Tokenizer } from "../tokenizer/tokenizer.ts"

/** Bytes and ChatML: ids a test can write by hand. Specials: <|pad|> 256, <|im_start|> 257, <|im_end|> 258 (EOS). */
export const testTokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })

export const layerTest = Tokenizer.layer(testTokenizer)
