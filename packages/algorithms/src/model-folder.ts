import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { type LoadError, type Policy, ReferencePolicy } from "@plumbline/models"
import { adaptedPolicy, type AdapterOptions, bareReference, isAdapted, movableReference } from "@plumbline/peft"
import type { ModelRuntime } from "@plumbline/runtime"
import { Effect, Layer } from "effect"
import { existsSync, readdirSync } from "node:fs"
import { join, resolve } from "node:path"

/** Where a run's policy comes from, and what of it is trained. */
export interface PolicyOptions extends AdapterOptions {
  readonly model: string
  readonly seed: number
}

/** The policy of a Hugging Face folder, to be trained whole or through an adapter, and its tokenizer. */
export const policyFolder = (options: PolicyOptions) =>
  Layer.merge(
    adaptedPolicy(options.model, options, options.seed),
    Layer.effect(Tokenizer, loadTokenizer(options.model))
  )

/**
 * The reference policy: a folder's, or the policy as it is before training. Where that has an adapter it shares the
 * base, so no second copy of the model is held; nor is where the folder is the base's, which is the policy with its adapter off.
 */
export const referenceFolder = (
  { reference, ...options }: PolicyOptions & { readonly reference?: string | undefined },
  moves = false
): Layer.Layer<ReferencePolicy, LoadError, ModelRuntime | Policy> => {
  if (reference === undefined && isAdapted(options)) return moves ? movableReference : ReferencePolicy.layerFrozen
  const isBase = reference !== undefined && resolve(reference) === resolve(options.model)
  if (isBase && isAdapted(options) && !moves) return bareReference
  const folder = reference ?? options.model
  return moves ? ReferencePolicy.layerMovable(folder) : ReferencePolicy.layerFromFolder(folder)
}

/** Files of a model folder that decide a run's numbers: its weights, configuration and tokenizer. */
export const modelFiles = (folder: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /\.(safetensors|json|jinja)$/.test(name))
        .toSorted()
        .map((name) => join(folder, name))
    : []

/** Files that a trained model's folder needs to be used alone. */
export const tokenizerOutput = Effect.map(Tokenizer, ({ files }) => files)

interface InputOptions {
  readonly model: string
  readonly reference?: string | undefined
  readonly adapter?: string | undefined
  /** Folders, and addresses of servers. */
  readonly rewardModel?: ReadonlyArray<string> | undefined
  readonly train: string
  readonly eval?: string | undefined
}

/** Every file that decides a run's numbers. */
export const inputFiles = (options: InputOptions): ReadonlyArray<string> => [
  ...modelFiles(options.model),
  ...(options.reference === undefined ? [] : modelFiles(options.reference)),
  ...(options.adapter === undefined ? [] : modelFiles(options.adapter)),
  ...(options.rewardModel ?? []).flatMap(modelFiles),
  options.train,
  ...(options.eval === undefined ? [] : [options.eval])
]
