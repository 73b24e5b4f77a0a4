import type { DecoderConfig } from "@plumbline/models"
import { endPattern } from "../targets.ts"

type Fields = Readonly<Record<string, unknown>>

/** A parameter of a mixture that PEFT puts LoRA on as a whole, and the linear layers here that make it up. */
interface Part {
  readonly parameter: string
  readonly pattern: string
}

const partsOf = ({ family: { mixtures } }: DecoderConfig): ReadonlyArray<Part> => {
  if (mixtures === undefined) return []
  const { down, gate, up } = mixtures.names
  return [
    { parameter: GATES, pattern: `experts\\.\\d+\\.(?:${escaped(gate)}|${escaped(up)})` },
    { parameter: "mlp.experts.down_proj", pattern: `experts\\.\\d+\\.${escaped(down)}` },
    { parameter: "mlp.gate.weight", pattern: "gate" }
  ]
}

/** PEFT's name of the parameter that holds the gates of all experts above what they gate. */
const GATES = "mlp.experts.gate_up_proj"

/** As PEFT writes a pattern for it. */
const GATES_PATTERN = ".*\\.gate_up_proj"

/**
 * Field of ours: gates and what they gate have matrices A of their own in the file, which PEFT lays side by side, so that its
 * rank of the parameter is twice theirs.
 */
const APART = "gates_apart"

const isNamed = ({ parameter }: Part, target: string): boolean =>
  parameter === target || parameter.endsWith(`.${target}`) || target.endsWith(`.${parameter}`)

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/**
 * `adapter_config.json` of an adapter on `target_parameters`, as PEFT writes it for mixtures whose experts transformers 5
 * holds in one tensor, told in terms of the linear layer of each expert. Ranks by pattern are those of the parameter.
 *
 * @returns undefined where a target is none of a mixture's
 */
export const splitTargets = (fields: Fields, config: DecoderConfig): Fields | undefined => {
  const targets = fields["target_parameters"]
  if (!Array.isArray(targets) || targets.length === 0) return fields
  const parts = partsOf(config)
  const chosen = parts.filter((part) => targets.some((target) => isNamed(part, String(target))))
  if (targets.some((target) => !chosen.some((part) => isNamed(part, String(target))))) return undefined
  return {
    ...fields,
    target_parameters: null,
    target_modules: [
      ...modulePatterns(fields["target_modules"]),
      ...chosen.map(({ pattern }) => `.*\\.${pattern}`)
    ].join("|"),
    rank_pattern: withParts(ofGates(fields, "rank_pattern", 1 / gatesTogether(fields)), chosen),
    alpha_pattern: withParts(ofGates(fields, "alpha_pattern", 1 / alphaTogether(fields)), chosen)
  }
}

/**
 * The fields that say the same when the adapter is written with a pair of matrices for each linear layer of each expert, and
 * from which PEFT puts these together again; none where there are no `target_parameters`.
 *
 * @param told as the adapter was read
 */
export const writtenTargets = (told: Fields, config: DecoderConfig): Fields => {
  const targets = told["target_parameters"]
  if (!Array.isArray(targets) || targets.length === 0) return {}
  const fields = { target_modules: told["target_modules"] ?? null, target_parameters: targets }
  const gates = partsOf(config).filter(({ parameter }) => parameter === GATES)
  const hasGates = gates.some((part) => targets.some((target) => isNamed(part, String(target))))
  if (!hasGates || told[APART] === true) {
    const { rank_pattern: ranks = {}, alpha_pattern: alphas = {} } = told
    return { ...fields, rank_pattern: ranks, alpha_pattern: alphas, ...(hasGates ? { [APART]: true } : {}) }
  }
  const once = { ...told, [APART]: true }
  return {
    ...fields,
    rank_pattern: ofGates(told, "rank_pattern", gatesTogether(once)),
    alpha_pattern: ofGates(told, "alpha_pattern", alphaTogether(once)),
    [APART]: true
  }
}

const gatesTogether = (fields: Fields): number => (fields[APART] === true ? 2 : 1)

/** By which alpha grows, so that the scale stays: it is over the rank, or over its root. */
const alphaTogether = (fields: Fields): number =>
  fields["use_rslora"] === true ? Math.sqrt(gatesTogether(fields)) : gatesTogether(fields)

const PLAIN = { rank_pattern: "r", alpha_pattern: "lora_alpha" } as const

/** Numbers by pattern, that of the gates first and times `factor`. */
const ofGates = (fields: Fields, name: keyof typeof PLAIN, factor: number): Fields => {
  const numbers = (fields[name] ?? {}) as Fields
  if (factor === 1) return numbers
  const found = Object.entries(numbers).find(([each]) => endPattern(each).test(GATES))
  const value = Number(found?.[1] ?? fields[PLAIN[name]]) * factor
  return {
    [GATES_PATTERN]: value,
    ...Object.fromEntries(Object.entries(numbers).filter(([each]) => each !== GATES_PATTERN))
  }
}

/** Numbers by pattern, those of the parts first. */
const withParts = (given: unknown, parts: ReadonlyArray<Part>): Fields => {
  const numbers = Object.entries((given ?? {}) as Fields)
  const own = parts.flatMap(({ parameter, pattern }) => {
    const found = numbers.find(([each]) => endPattern(each).test(parameter))
    return found === undefined ? [] : [[pattern, found[1]] as const]
  })
  return Object.fromEntries([...own, ...numbers])
}

/** Patterns for whole names of what `target_modules` names by ends, or by a pattern. */
const modulePatterns = (targets: unknown): ReadonlyArray<string> => {
  if (typeof targets === "string") return targets === "" ? [] : [`(?:${targets})`]
  return Array.isArray(targets) ? targets.map((end) => `(?:.*\\.)?${escaped(String(end))}`) : []
}
