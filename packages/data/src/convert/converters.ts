import { alpaca } from "./alpaca.ts"
import { anthropicHh } from "./anthropic-hh.ts"
import type { Converter } from "./converter.ts"
import { helpSteer, helpSteer2, helpSteer2Preference, helpSteer3 } from "./helpsteer.ts"
import { nectar } from "./nectar.ts"
import { openAssistant } from "./open-assistant.ts"
import { shareGpt } from "./sharegpt.ts"
import { ultraFeedback } from "./ultrafeedback.ts"

/** The published data sets that `plumb convert` has a name for. */
export const converters: ReadonlyArray<Converter> = [
  helpSteer,
  helpSteer2,
  helpSteer2Preference,
  helpSteer3,
  ultraFeedback,
  anthropicHh,
  openAssistant,
  nectar,
  alpaca,
  shareGpt
]
