import { philoxStream, tf } from "@plumbline/runtime"
import { type CreateModelOptions, decoderConfig, type DecoderTable } from "../create-model.ts"
import { decoderParameters } from "../decoder/parameter-table.ts"
import { initialValues } from "../initial-values.ts"
import { parameterStore } from "../parameter-store.ts"
import { type Head, headParameter, withHead } from "./head.ts"
import { type ScalarModel, scalarModel } from "./scalar-model.ts"

/**
 * A new decoder with a head. Each parameter has the values that `createModel` gives it with the same seed.
 *
 * Throws ConfigInvalid or UnsupportedModel for numbers that make no model.
 */
export const createScalarModel = (
  table: DecoderTable,
  head: Head,
  seed: number,
  { name = "reward", trainable = true }: CreateModelOptions = {}
): ScalarModel => {
  const config = withHead(decoderConfig(table), head)
  const store = parameterStore(name, trainable)
  for (const spec of [...decoderParameters(config), headParameter(config, head)]) {
    const values = initialValues(spec, config.initializerRange, philoxStream(seed, spec.name))
    store.add(spec.name, tf.tensor(values, [...spec.shape]))
  }
  const { dispose, parameters } = store
  return scalarModel({ name, config, head, parameters, variables: store.variables(), dispose })
}
