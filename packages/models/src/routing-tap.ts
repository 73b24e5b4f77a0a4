import type { TokenRows } from "@plumbline/data"
import type { Tensor2D } from "@plumbline/runtime"
import type { Model } from "./model.ts"

/** What a mixture did with the tokens of a pass; see `Weights.routing`. */
export interface Routing {
  /** [N, E] */
  readonly probabilities: Tensor2D
  /** [N, E] */
  readonly isChosen: Tensor2D
  /** Tokens outside of them are padding. */
  readonly rows: TokenRows
}

/** Is given what each mixture of each pass over whole rows does, and gives the probabilities to go on with. */
export type RoutingTap = (routing: Routing) => Tensor2D

export const hasMixtures = ({ config }: Pick<Model, "config">): boolean =>
  config.mlps.some(({ mixture }) => mixture !== undefined)

/** The same model on the same parameters, whose mixtures tell `tap` what they do. */
export const tapped = <M extends Model>(model: M, tap: RoutingTap): M => {
  const { bare, contents, copy, name, parameters, rateOf, variables, version, weights } = model
  return model.rebuilt({
    name,
    parameters,
    variables,
    version,
    contents,
    rateOf,
    copy,
    bare,
    dispose: model.dispose,
    weights: {
      ...weights,
      forRows: (rows) => ({
        ...(weights.forRows?.(rows) ?? weights),
        routing: (probabilities, isChosen) => tap({ probabilities, isChosen, rows })
      })
    }
  }) as M
}
