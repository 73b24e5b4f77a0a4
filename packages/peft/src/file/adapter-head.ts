import { type CheckpointInvalid, type Head, HEAD_WEIGHT, readTensors } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { Effect, Schema } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { WEIGHTS_FILE } from "../adapt.ts"
import { modulePrefix } from "../adapter.ts"
import type { AdapterInvalid } from "../errors.ts"
import { readMethod } from "./adapter-config.ts"

const Stored = Schema.Struct({
  head: Schema.Struct({ attributes: Schema.Array(Schema.String), pooling: Schema.Literals(["last", "mean"]) })
})

/** What adapter_config.json says of a head, beyond PEFT's fields; nothing of the head that PEFT would assume. */
export const headFields = ({ attributes, pooling }: Head) =>
  attributes.length === 1 && pooling === "last" ? {} : { head: { attributes, pooling } }

/** The head that an adapter brings along, which its base may lack; undefined where it brings none. */
export const adapterHead = Effect.fn("adapterHead")(function* (
  folder: string
): Effect.fn.Return<Head | undefined, AdapterInvalid | CheckpointInvalid> {
  const { fields, method } = yield* readMethod(folder)
  const file = join(folder, WEIGHTS_FILE)
  if (!existsSync(file)) return undefined
  const tensors = yield* readTensors(file)
  const count = tensors.get(`${modulePrefix(method)}${HEAD_WEIGHT}`)?.shape[0]
  tf.dispose([...tensors.values()])
  if (count === undefined) return undefined
  const told = Schema.decodeUnknownOption(Stored)(fields)
  if (told._tag === "Some" && told.value.head.attributes.length === count) return told.value.head
  const attributes = count === 1 ? ["reward"] : Array.from({ length: count }, (_, i) => `LABEL_${i}`)
  return { attributes, pooling: "last" }
})
