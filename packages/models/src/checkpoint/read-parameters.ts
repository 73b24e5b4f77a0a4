import { Effect } from "effect"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { ParameterSpec } from "../decoder/parameter.ts"
import { CheckpointInvalid, type LoadError, TensorMissing, TensorShapeMismatch, TensorUnexpected } from "../errors.ts"
import { readWeights } from "../safetensors/read-weights.ts"
import { withSplitExperts } from "./fused-experts.ts"
import { openWeights, shapeOf, type TensorPlaces } from "./weights-files.ts"

/** A tensor that must be there, and its shape. */
type Expected = Pick<ParameterSpec, "name" | "shape">

/** Tensors that old checkpoints carry and no model reads: they follow from the config. */
const HARMLESS = /\.(rotary_emb\.inv_freq|masked_bias)$/

/**
 * Reads exactly the parameters `specs` from a model folder, one after the other, in their order.
 *
 * @param take gets the values of each, row-major float32; at most one tensor is held besides what it keeps
 * @param unread names that may be there besides
 */
export const readParameters = Effect.fn("readParameters")(function* (
  folder: string,
  config: DecoderConfig,
  specs: ReadonlyArray<Expected>,
  take: (spec: Expected, values: Float32Array) => void,
  unread: ReadonlyArray<string> = []
): Effect.fn.Return<void, LoadError> {
  yield* Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* withSplitExperts(folder, yield* openWeights(folder), config)
      const stored = yield* withTiedMatrix(opened, config)
      yield* checkTensors(folder, specs, stored, unread)
      for (const spec of specs) {
        const { file, part, tensor } = stored.get(spec.name)!
        take(spec, yield* readWeights(file, tensor, part))
      }
    })
  )
})

/**
 * A tied model's one matrix may be stored under either of its names, or under both if the values agree. Gives it
 * the embedding's.
 */
const withTiedMatrix = Effect.fnUntraced(function* (stored: TensorPlaces, config: DecoderConfig) {
  const { names } = config.family
  const [embeddingName, outputName] = [`${names.embedding}.weight`, `${names.output}.weight`]
  const [embedding, output] = [stored.get(embeddingName), stored.get(outputName)]
  if (!config.tiedEmbeddings || output === undefined) return stored
  const renamed = new Map(stored)
  renamed.delete(outputName)
  if (embedding === undefined) return renamed.set(embeddingName, output)
  const [a, b] = [yield* embedding.file.read(embeddingName), yield* output.file.read(outputName)]
  if (a.length !== b.length || a.some((value, i) => !Object.is(value, b[i]))) {
    const reason = `differs from ${embeddingName}, although config.json ties them: tie_word_embeddings should be false`
    return yield* new CheckpointInvalid({ file: output.file.file, tensor: outputName, reason })
  }
  return renamed
})

const checkTensors = Effect.fnUntraced(function* (
  folder: string,
  specs: ReadonlyArray<Expected>,
  stored: TensorPlaces,
  unread: ReadonlyArray<string>
) {
  const expected = new Set([...specs.map(({ name }) => name), ...unread])
  const unexpected = [...stored.keys()].filter((name) => !expected.has(name) && !HARMLESS.test(name))
  for (const { name, shape } of specs) {
    const place = stored.get(name)
    if (place === undefined) return yield* new TensorMissing({ folder, tensor: name, expected: shape, unexpected })
    const found = shapeOf(place)
    if (found.length !== shape.length || found.some((size, axis) => size !== shape[axis])) {
      return yield* new TensorShapeMismatch({ folder, tensor: name, expected: shape, found })
    }
  }
  if (unexpected.length > 0) return yield* new TensorUnexpected({ folder, tensors: unexpected })
})
