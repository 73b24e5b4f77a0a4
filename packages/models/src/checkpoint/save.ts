import type { Tensor } from "@plumbline/runtime"
import { Effect } from "effect"
import { open } from "node:fs/promises"
import { basename, join } from "node:path"
import type { JsonObject } from "../config/decoder-config.ts"
import { SaveFailed } from "../errors.ts"
import type { FolderContents, Model } from "../model.ts"
import type { WeightType } from "../safetensors/dtype.ts"
import { type TensorValues, tensorValues } from "../safetensors/stored-tensor.ts"
import { storedBytes, writeSafetensors, type WrittenTensor } from "../safetensors/writer.ts"
import { jsonText } from "./json-text.ts"
import { replaceFolder } from "./replace-folder.ts"
import { saving } from "./saving.ts"
import { INDEX_FILE, WEIGHTS_FILE } from "./weights-files.ts"

export interface SaveOptions {
  /** Stored type of the weights; float32 loses nothing. */
  readonly dtype?: WeightType
  /** Further files of the folder by name, e.g. the tokenizer's. */
  readonly extraFiles?: Readonly<Record<string, string | Uint8Array>>
  /** Further fields of config.json. */
  readonly configFields?: JsonObject
  /** Bytes of weights a file holds at most; 5 GB when absent. */
  readonly maxShardBytes?: number
  /** Where a whole model's values are read, one tensor after the other in the order of `parameters`; in the tensors, or in their parts, when absent. */
  readonly valuesOf?: (parameter: Tensor) => TensorValues
}

/** What the other processes do while one saves a model that they have in parts; nothing where they have it whole. */
export const assistSaving = async ({ contents, parameters, shards }: Model): Promise<void> => {
  if (contents !== undefined || shards === undefined) return
  for (const parameter of parameters.values()) await shards.valuesOf(parameter)?.values()
}

/**
 * Writes a folder that transformers opens: config.json, safetensors, generation_config.json where the model has one; or
 * what the model says its folder holds.
 * A folder that is already there is replaced once the new one is complete, or left untouched.
 */
export const saveModel = Effect.fn("saveModel")(function* (
  model: Model,
  folder: string,
  {
    configFields = {},
    dtype = "float32",
    extraFiles = {},
    maxShardBytes = 5e9,
    valuesOf = (parameter) => model.shards?.valuesOf(parameter) ?? tensorValues(parameter)
  }: SaveOptions = {}
): Effect.fn.Return<void, SaveFailed> {
  const stray = Object.keys(extraFiles).find((name) => name !== basename(name))
  if (stray !== undefined) return yield* new SaveFailed({ folder, reason: `${stray} is not a plain file name` })
  const fill = async (temporary: string) => {
    await (model.contents === undefined
      ? writeWeights(temporary, valuesByName(model, valuesOf), dtype, maxShardBytes)
      : writeSafetensors(join(temporary, model.contents.weightsFile), named(model.contents.tensors), dtype))
    for (const [name, content] of Object.entries({ ...jsonFiles(model, dtype, configFields), ...extraFiles })) {
      await writeSynced(join(temporary, name), content)
    }
  }
  yield* saving(folder, () => replaceFolder(folder, fill))
})

const named = (tensors: FolderContents["tensors"]): ReadonlyArray<WrittenTensor> =>
  [...tensors].map(([name, tensor]) => ({ name, ...tensor }))

const jsonFiles = (model: Model, dtype: WeightType, fields: JsonObject): Record<string, string> =>
  model.contents === undefined
    ? modelFiles(model, dtype, fields)
    : Object.fromEntries(Object.entries(model.contents.json).map(([name, value]) => [name, jsonText(value)]))

const modelFiles = (
  { config, generationConfig }: Model,
  dtype: WeightType,
  fields: JsonObject
): Record<string, string> => ({
  "config.json": jsonText({ ...withType(config.source, dtype), ...fields }),
  ...(generationConfig === undefined ? {} : { "generation_config.json": jsonText(generationConfig) })
})

/** transformers 5 writes `dtype`, earlier versions `torch_dtype`; the layout that was there is kept. */
const withType = (source: JsonObject, dtype: WeightType): JsonObject => ({
  ...source,
  ...("torch_dtype" in source ? { torch_dtype: dtype } : {}),
  ...("dtype" in source || !("torch_dtype" in source) ? { dtype } : {})
})

const valuesByName = (model: Model, valuesOf: (parameter: Tensor) => TensorValues): ReadonlyArray<WrittenTensor> =>
  [...model.parameters].map(([name, tensor]) => ({ name, ...valuesOf(tensor) }))

const writeWeights = async (
  folder: string,
  tensors: ReadonlyArray<WrittenTensor>,
  dtype: WeightType,
  maxShardBytes: number
): Promise<void> => {
  const shards = split(tensors, dtype, maxShardBytes)
  if (shards.length === 1) return writeSafetensors(join(folder, WEIGHTS_FILE), tensors, dtype)
  const weightMap: Record<string, string> = {}
  for (const [i, shard] of shards.entries()) {
    const name = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`
    await writeSafetensors(join(folder, name), shard, dtype)
    for (const tensor of shard) weightMap[tensor.name] = name
  }
  const total = tensors.reduce((sum, tensor) => sum + storedBytes(tensor, dtype), 0)
  await writeSynced(join(folder, INDEX_FILE), jsonText({ metadata: { total_size: total }, weight_map: weightMap }))
}

const digits = (count: number): string => String(count).padStart(5, "0")

/** Tensors in their order, each file as full as it may be. */
const split = (tensors: ReadonlyArray<WrittenTensor>, dtype: WeightType, maxShardBytes: number) => {
  const shards: Array<Array<WrittenTensor>> = [[]]
  let filled = 0
  for (const tensor of tensors) {
    const bytes = storedBytes(tensor, dtype)
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push([])
      filled = 0
    }
    shards.at(-1)!.push(tensor)
    filled += bytes
  }
  return shards
}

const writeSynced = async (file: string, content: string | Uint8Array): Promise<void> => {
  const handle = await open(file, "w")
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
