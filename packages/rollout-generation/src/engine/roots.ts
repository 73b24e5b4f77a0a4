import type { SteppedModel } from "@plumbline/models"
import type { PagePool } from "./page-pool.ts"

/** What stands before every row of a model: rows share its full pages, and begin with a copy of the last one. */
export interface Root {
  /** Places that it takes. */
  readonly held: number
  /** In the order of its places. */
  readonly pages: ReadonlyArray<number>
}

/** Of the models that have something before their rows. */
export type Roots = ReadonlyMap<SteppedModel, Root>

/** Pages that rows can never have to themselves. */
export const commonPages = (models: ReadonlyArray<SteppedModel>, pageSize: number): number =>
  models.reduce((sum, { prefix }) => sum + Math.ceil((prefix?.length ?? 0) / pageSize), 0)

/** Takes pages for what stands before rows; they are kept for good, and filled whenever the model's weights have changed. */
export const makeRoots = (models: ReadonlyArray<SteppedModel>, pool: PagePool, pageSize: number): Roots => {
  const roots = new Map<SteppedModel, Root>()
  for (const model of models) {
    if (model.prefix === undefined) continue
    const pages: Array<number> = []
    while (pages.length * pageSize < model.prefix.length) pages.push(pool.take(pages.at(-1))!)
    roots.set(model, { held: model.prefix.length, pages })
  }
  return roots
}
