import type { TokenizerShape } from "../tokenizer/tokenizer.ts"

/** Whether a row begins with two BOS. Where BOS is EOS, an empty text alone is both. */
export const hasDoubledBos = ({ bosId, eosId }: TokenizerShape, ids: Int32Array): boolean =>
  bosId !== undefined && ids[0] === bosId && ids[1] === bosId && (bosId !== eosId || ids.length > 2)
