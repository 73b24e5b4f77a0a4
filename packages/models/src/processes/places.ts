import type { DecoderConfig } from "../config/decoder-config.ts"
import { elementCount } from "../decoder/parameter.ts"
import { causalParameters, outputMatrixName } from "../decoder/parameter-table.ts"

/**
 * A place on the way through a decoder, whose parameters are read together: 0 is the embedding, n the n-th of L blocks, L + 1 the
 * output matrix.
 */
export type Place = number

export const EMBEDDING_PLACE: Place = 0

export const blockPlace = (layer: number): Place => layer + 1

export const outputPlace = ({ layers }: DecoderConfig): Place => layers + 1

/** Where a parameter is read; an output matrix that is the embedding, at both ends. */
export const placesOf = (config: DecoderConfig, name: string): ReadonlyArray<Place> => {
  const { family, layers } = config
  const { names } = family
  const isOutput = name === outputMatrixName(config)
  if (name === `${names.embedding}.weight`) return isOutput ? [EMBEDDING_PLACE, outputPlace(config)] : [EMBEDDING_PLACE]
  if (isOutput) return [outputPlace(config)]
  const layer = Array.from({ length: layers }, (_, i) => i).find((i) => name.startsWith(`${names.layer(i)}.`))
  if (layer === undefined) throw new Error(`the decoder has no place for ${name}`)
  return [blockPlace(layer)]
}

/**
 * Where a pass goes next, or undefined where nobody can tell: up from the embedding, down from where it came down. From the
 * output matrix a pass that is differentiated turns back.
 */
export const placeAfter = (
  place: Place,
  before: Place | undefined,
  output: Place,
  turnsBack: boolean
): Place | undefined => {
  if (place === output) return turnsBack ? output - 1 : undefined
  const isGoingDown = before !== undefined && before > place && place !== EMBEDDING_PLACE
  if (!isGoingDown) return place + 1
  // the embedding's gradient reads no values of it
  return place - 1 > EMBEDDING_PLACE ? place - 1 : undefined
}

/** Most numbers of matrices that are there at one time: those of a place and of the next. */
export const mostGathered = (config: DecoderConfig): number => {
  const sizes = Array.from({ length: outputPlace(config) + 1 }, () => 0)
  for (const { name, shape } of causalParameters(config)) {
    if (shape.length === 2) for (const place of placesOf(config, name)) sizes[place]! += elementCount(shape)
  }
  return Math.max(...sizes.slice(1).map((size, i) => size + sizes[i]!))
}
