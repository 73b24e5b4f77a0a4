import { tokenIdsOf } from "@plumbline/data"
import {
  gatherRows,
  linear,
  logCollision,
  ShardingUnsupported,
  type Tensor,
  type Tensor2D,
  tf,
  tokenEntropies,
  tokenLogProbs
} from "@plumbline/runtime"
import type { DecoderConfig, JsonObject } from "./config/decoder-config.ts"
import { decoder } from "./decoder/decoder.ts"
import { knownRows } from "./decoder/key-value-cache.ts"
import { outputMatrixName } from "./decoder/parameter-table.ts"
import { isRecordable, replayStep } from "./decoder/recorded-step.ts"
import { parameterWeights } from "./decoder/weights.ts"
import { chunkByChunk } from "./map-logits.ts"
import type { CausalLM, ModelParts } from "./model.ts"
import { outputPlace } from "./processes/places.ts"
import { atLast } from "./processes/shards.ts"
import { weightsVersion } from "./weights-version.ts"

export interface CausalLMParts extends ModelParts {
  readonly config: DecoderConfig
  readonly generationConfig?: JsonObject | undefined
}

/** A language model over parameters that somebody else made and owns. */
export const causalLM = (parts: CausalLMParts): CausalLM => {
  const { config, dispose, generationConfig, name, parameters, variables, version = weightsVersion() } = parts
  const weights = parts.weights ?? parameterWeights(parameters)
  const body = decoder(config, weights, parts)
  const { shards } = parts
  const outputMatrix = () => weights.tensor(outputMatrixName(config)) as Tensor2D
  const output = <T extends Readonly<Record<string, Tensor>>>(make: () => T) =>
    atLast(shards, outputPlace(config), make)
  const logitsAt = (states: Tensor2D, index: Int32Array) => linear(gatherRows(states, index), outputMatrix())
  return {
    name,
    weights,
    contents: parts.contents,
    rateOf: parts.rateOf,
    copy: parts.copy,
    bare: parts.bare,
    shards,
    rebuilt: (others) =>
      causalLM({ prefix: parts.prefix, recomputing: parts.recomputing, shards, ...others, config, generationConfig }),
    config,
    contextTokens: config.maxPositions - (parts.prefix?.length ?? 0),
    generationConfig,
    endTokens: endTokens(generationConfig?.["eos_token_id"] ?? config.source["eos_token_id"], config.vocabulary),
    variables,
    parameters,
    version,
    dispose,
    recomputing: () => causalLM({ ...parts, version, recomputing: true }),
    hiddenStates: body.hiddenStates,
    tokenLogProbs: (rows, options) =>
      tf.tidy(() => {
        const { index, targets } = rows.scored
        const hidden = gatherRows(body.hiddenStates(rows), index)
        return output(() => ({
          ...tokenLogProbs(hidden, outputMatrix(), targets, options),
          ...(options?.entropyGradient === true && { entropy: tokenEntropies(hidden, outputMatrix(), options) }),
          ...(options?.collision === true && { logCollision: logCollision(hidden, outputMatrix(), options) })
        }))
      }),
    mapLogits: (rows, perChunk) =>
      tf.tidy(() => {
        const hidden = gatherRows(body.hiddenStates(rows), rows.scored.index)
        return output(() => ({ mapped: chunkByChunk(hidden, outputMatrix, perChunk) })).mapped
      }),
    logits: (rows, index) =>
      tf.tidy(() => {
        const states = body.hiddenStates(rows)
        return output(() => ({ logits: logitsAt(states, index) })).logits
      }),
    createCache: (pages, pageSize) => {
      if (shards !== undefined) throw new ShardingUnsupported({ reason: NO_ENGINE })
      return body.createCache(pages, pageSize)
    },
    prefix: parts.prefix && { length: parts.prefix.length, fill: body.fillPrefix },
    step: (rows, cache, index) =>
      tf.tidy(() => {
        if (!isRecordable(config, rows, index)) return linear(body.step(knownRows(rows), cache, index), outputMatrix())
        const read = [...parameters.values(), ...variables]
        return replayStep(rows, cache, weights, read, (numbers, shape) =>
          linear(body.recordedStep(numbers, shape, cache), outputMatrix())
        )
      })
  }
}

const NO_ENGINE =
  "an engine of this process cannot write with a model that the processes have in parts, as each would write other tokens"

/** Those of `eos_token_id` that are tokens: transformers writes its default for a family where nobody chose one, whatever the vocabulary. */
const endTokens = (ids: unknown, vocabulary: number): ReadonlyArray<number> =>
  (tokenIdsOf(ids) ?? []).filter((id) => id >= 0 && id < vocabulary)
