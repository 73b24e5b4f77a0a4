import { Schema } from "effect"

/**
 * What is said between a policy that learns and a server that writes its responses.
 *
 * | request                             | sent                             | answered                       |
 * | ----------------------------------- | -------------------------------- | ------------------------------ |
 * | `GET /v1/weights`                   |                                  | `ServedWeights`                |
 * | `POST /v1/weights?version=N&run=ID` | safetensors of some or all tensors | `{ version, missing }`       |
 *
 * The new values are there as soon as none is missing, all at once; until then the server goes on with the old ones.
 */
export const WEIGHTS_PATH = "/weights"

/** Names the run whose weights a request for responses wants; a server that has another's refuses it. */
export const RUN_HEADER = "x-plumbline-run"

/** What a server has, and what may be set of it. */
export const ServedWeights = Schema.Struct({
  version: Schema.Int,
  /** Shapes by name. */
  tensors: Schema.Record(Schema.String, Schema.Array(Schema.Int)),
  /** Digest of what an adapter has besides. */
  fixed: Schema.String
})

export const TakenWeights = Schema.Struct({ version: Schema.Int, missing: Schema.Int })
