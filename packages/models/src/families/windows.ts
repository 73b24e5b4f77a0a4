import type { FullConfig } from "../config/config-schema.ts"

type Windows = ReadonlyArray<number | undefined>

const everyLayer = (config: FullConfig, window: number | undefined): Windows =>
  Array.from({ length: config.num_hidden_layers }, () => window)

/** Every layer sees everything before it. */
export const fullAttention = (config: FullConfig): Windows => everyLayer(config, undefined)

/** Every layer has the window `sliding_window`; null is none. */
export const slidingEverywhere = (config: FullConfig): Windows => everyLayer(config, config.sliding_window ?? undefined)

/** The layers that `layer_types` names, or from `max_window_layers` on, once `use_sliding_window` is set. */
export const slidingByLayer = (config: FullConfig): Windows => {
  const window = config.use_sliding_window === true ? (config.sliding_window ?? undefined) : undefined
  const firstWindowed = config.max_window_layers ?? 0
  const slides = (layer: number) => config.layer_types?.[layer] ?? (layer >= firstWindowed ? SLIDING : FULL)
  return everyLayer(config, window).map((size, layer) => (slides(layer) === SLIDING ? size : undefined))
}

export const FULL = "full_attention"
export const SLIDING = "sliding_attention"
