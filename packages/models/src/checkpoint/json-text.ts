import type { JsonObject } from "../config/decoder-config.ts"

/** Fields of config.json that transformers takes as numbers with a point alone: it refuses 0 and reads 0.0. */
const REALS = ["initializer_range", "norm_eps", "rms_norm_eps", "router_aux_loss_coef", "router_jitter_noise"] as const

const whole = new RegExp(`^(\\s*"(?:${REALS.join("|")})": -?\\d+)(?=,?$)`, "gm")

/** A JSON file's text, as transformers reads it. */
export const jsonText = (value: JsonObject): string => `${JSON.stringify(value, null, 2).replace(whole, "$1.0")}\n`
