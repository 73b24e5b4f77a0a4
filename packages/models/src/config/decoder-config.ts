import type { Family } from "../families/family.ts"
import type { Mlp } from "../decoder/mlp.ts"
import type { Rope } from "./rope.ts"

export type JsonObject = Readonly<Record<string, unknown>>

/** Which linear layers of a block add a bias. */
export interface Biases {
  readonly queryKeyValue: boolean
  readonly attentionOutput: boolean
  readonly mlp: boolean
}

/** Everything a decoder is, apart from its weights. Widths in features, positions and windows in tokens. */
export interface DecoderConfig {
  readonly family: Family
  readonly vocabulary: number
  readonly width: number
  readonly layers: number
  readonly heads: number
  /** Divides `heads`. */
  readonly keyValueHeads: number
  readonly headWidth: number
  readonly mlpWidth: number
  readonly maxPositions: number
  /** Weight of the load-balancing loss of mixtures that config.json asks to train with; absent where it asks for none. */
  readonly balance?: number
  /** [layers] */
  readonly mlps: ReadonlyArray<Mlp>
  readonly normEpsilon: number
  readonly rope: Rope
  /** [layers] tokens a query of the layer sees, itself included; undefined sees all before it */
  readonly windows: ReadonlyArray<number | undefined>
  readonly biases: Biases
  /** The output matrix is the embedding matrix. */
  readonly tiedEmbeddings: boolean
  /** Standard deviation of new weights. */
  readonly initializerRange: number
  /** The model's config.json, as it was read or as a new model's is written. */
  readonly source: JsonObject
}
