import type { CausalLM, Model } from "@plumbline/models"
import { resolve } from "node:path"

/** A frozen model that a run holds already, and the folder it is from: what else rides on that folder needs no copy of it. */
export interface HeldBase {
  readonly folder: string
  readonly model: Model
}

/** The model below a policy's adapter; undefined where the policy has none, and its weights move. */
export const policyBase = ({ bare }: CausalLM, folder: string): HeldBase | undefined =>
  bare === undefined ? undefined : { folder, model: bare("base") }

/** What is held, where it is this folder's. */
export const heldModel = (held: HeldBase | undefined, folder: string): Model | undefined =>
  held !== undefined && resolve(held.folder) === resolve(folder) ? held.model : undefined
