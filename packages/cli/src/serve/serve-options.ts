import { WeightedName } from "@plumbline/algorithms"
import { NonNegative, NonNegativeInt, option, optional, PositiveInt } from "@plumbline/data"
import { adapterFields } from "@plumbline/peft"
import { limitFields } from "@plumbline/serving"
import { Schema } from "effect"
import { machineFields } from "../backend.ts"
import { engineFields } from "../engine-fields.ts"
import { modelFields } from "../model-input.ts"

/** Where the token may stand instead of on the command line, which other users of the machine can read. */
export const TOKEN_VARIABLE = "PLUMBLINE_TOKEN"

const Port = NonNegativeInt.check(Schema.isLessThanOrEqualTo(65_535))

export const serverLimits = {
  ...limitFields,
  maxResponses: option(
    PositiveInt,
    1024,
    "responses that one request may ask for, over all its prompts; rows, of a reward model"
  )
} as const

/** How a reward model scores. */
export const scorerFields = {
  attributeWeights: optional(
    Schema.Array(WeightedName),
    "what each attribute counts in the reward, as helpfulness=0.65,verbosity=-0.4 (default: all the same, adding up to 1)"
  ),
  batchTokens: option(PositiveInt, 16_384, "most tokens scored at once"),
  batchDelay: option(NonNegative, 2, "milliseconds that a row waits for others to be scored with")
} as const

const { adapter: _oneOrSeveral, ...ofNewAdapters } = adapterFields
export const newAdapterFields = ofNewAdapters

/** What a trainer sets. */
export const weightsFields = {
  acceptWeights: option(
    Schema.Boolean,
    false,
    "lets clients with the token set the weights, as a run with --generator-url does: of the adapter below alone, where there is one"
  ),
  ...newAdapterFields,
  adapterSeed: option(
    NonNegativeInt,
    0,
    "--seed of the run, which decides the tensors of a new adapter that it does not train"
  )
} as const

export const ServeOptions = Schema.Struct({
  ...modelFields,
  adapter: optional(
    Schema.Array(Schema.NonEmptyString),
    "adapter of the model, in PEFT's layout: DIR serves the model with it; name=DIR, which may be repeated, serves it beside the model, selected by a request's model"
  ),
  port: option(Port, 8000, "port to listen on; 0 takes a free one"),
  host: option(Schema.NonEmptyString, "127.0.0.1", "address to listen on; any but loopback needs a token"),
  pulsePort: option(
    Port,
    0,
    "port on which a second thread says that the process lives, to those who wait for its answers; 0 takes a free one"
  ),
  token: optional(Schema.NonEmptyString, `bearer token that clients must send; better in ${TOKEN_VARIABLE}`),
  allowOrigin: optional(
    Schema.Array(Schema.NonEmptyString),
    "web pages that may use the server from a browser, by origin, as http://localhost:3000, which may be repeated; * for all, with a token"
  ),
  name: optional(Schema.NonEmptyString, "the model's name for clients; the folder's by default"),
  ...weightsFields,
  ...serverLimits,
  ...engineFields,
  ...scorerFields,
  ...machineFields
})
export type ServeOptions = typeof ServeOptions.Type
