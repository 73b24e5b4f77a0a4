import { type DecoderConfig, type JsonObject, type Prefix } from "@plumbline/models"
import type { RandomStream } from "@plumbline/runtime"
import type { Adaptable } from "../targets.ts"
import { AdapterUnfit } from "../errors.ts"
import { type AdapterMethod, type AdapterTensor, type Found, plainMethod } from "../method.ts"

/** What virtual tokens begin as: any tokens of the vocabulary, those of a text, again and again, or N(0, 1) as PEFT's. */
export type VirtualTokenInit = "vocabulary" | "random" | { readonly ids: Int32Array }

export interface VirtualTokenOptions {
  /** Virtual tokens before every row. */
  readonly tokens: number
  /** "vocabulary" when absent. */
  readonly init?: VirtualTokenInit | undefined
  readonly trainedModules?: ReadonlyArray<string> | undefined
}

/** How one kind makes virtual tokens of what is stored. */
export interface VirtualTokenKind {
  readonly name: string
  readonly peftType: string
  readonly fields: (config: DecoderConfig) => JsonObject
  /** Numbers of one virtual token. */
  readonly width: (config: DecoderConfig) => number
  /** [V, width] row-major float32: what is stored of real tokens. */
  readonly ofTokens: (model: Adaptable, ids: Int32Array) => Float32Array
  readonly prefix: (config: DecoderConfig, stored: Found, tokens: number) => Prefix
}

const STORED = "prompt_embeddings"

/** An adapter that puts virtual tokens before every row and leaves all layers alone. */
export const virtualTokens = (
  kind: VirtualTokenKind,
  { init = "vocabulary", tokens, trainedModules = [] }: VirtualTokenOptions
): AdapterMethod => {
  if (!Number.isInteger(tokens) || tokens < 1) {
    throw new AdapterUnfit({ adapter: kind.name, reason: `${tokens} virtual tokens are no whole number from 1 on` })
  }
  if (typeof init === "object" && init.ids.length === 0) {
    throw new AdapterUnfit({ adapter: kind.name, reason: "the text that virtual tokens begin as has no tokens" })
  }
  return {
    ...plainMethod,
    config: { peft_type: kind.peftType, num_virtual_tokens: tokens, num_transformer_submodules: 1 },
    selection: undefined,
    trainedModules,
    startsNeutral: false,
    tensors: () => [],
    layer: () => ({ down: () => [], output: (y) => y, merge: (base) => base }),
    prefix: {
      fields: kind.fields,
      tensors: (model) => [storedTensor(kind, tokens, init, model)],
      made: (config, found) => kind.prefix(config, found, tokens)
    }
  }
}

const storedTensor = (
  kind: VirtualTokenKind,
  tokens: number,
  init: VirtualTokenInit,
  model: Adaptable
): AdapterTensor => {
  if (tokens >= model.config.maxPositions) {
    const reason = `${tokens} virtual tokens leave no room in the model's context of ${model.config.maxPositions}`
    throw new AdapterUnfit({ adapter: kind.name, reason })
  }
  const shape = [tokens, kind.width(model.config)]
  const initial = ({ normal, uniform }: RandomStream): Float32Array => {
    if (init === "random") return Float32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => normal(i))
    const { vocabulary } = model.config
    const id = (t: number) =>
      init === "vocabulary" ? Math.floor(uniform(t) * vocabulary) : init.ids[t % init.ids.length]!
    return kind.ofTokens(
      model,
      Int32Array.from({ length: tokens }, (_, t) => id(t))
    )
  }
  return { suffix: STORED, shape, initial }
}
