import type { FullConfig } from "../config/config-schema.ts"

type Windows = ReadonlyArray<number | undefined>

const everyLayer = (config: FullConfig, window: number | undefined): Windows =>
  Array.from({ length: config.num_hidden_layers }, () => window)

/** Every layer sees everything before it. */
export const fullAttention = (config: FullConfig): Windows => everyLayer(config, undefined)

/** `sliding_window`; null and 0 are none. */
const windowOf = ({ sliding_window }: FullConfig): number | undefined => sliding_window || undefined

/** The same, once `use_sliding_window` is set. */
const usedWindow = (config: FullConfig): number | undefined =>
  config.use_sliding_window === true ? windowOf(config) : undefined

/** Every layer has the window. */
export const slidingEverywhere = (config: FullConfig): Windows => everyLayer(config, windowOf(config))

/** Every layer has it, once it is set. */
export const slidingWhereUsed = (config: FullConfig): Windows => everyLayer(config, usedWindow(config))

/** The layers that `layer_types` names, or from `max_window_layers` on, once `use_sliding_window` is set. */
export const slidingByLayer = (config: FullConfig): Windows =>
  slidingWhere(config, (layer) => layer >= (config.max_window_layers ?? 0))

/** The layers that `layer_types` names, or every other one before `max_window_layers`, once `use_sliding_window` is set. */
export const slidingByTurns = (config: FullConfig): Windows =>
  slidingWhere(config, (layer) => layer % 2 === 0 && layer < (config.max_window_layers ?? 0))

const slidingWhere = (config: FullConfig, isWindowed: (layer: number) => boolean): Windows => {
  const slides = (layer: number) => config.layer_types?.[layer] ?? (isWindowed(layer) ? SLIDING : FULL)
  return everyLayer(config, usedWindow(config)).map((size, layer) => (slides(layer) === SLIDING ? size : undefined))
}

export const FULL = "full_attention"
export const SLIDING = "sliding_attention"
