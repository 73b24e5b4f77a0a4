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
    { parameter: "mlp.experts.gate_up_proj", pattern: `experts\\.\\d+\\.(?:${escaped(gate)}|${escaped(up)})` },
    { parameter: "mlp.experts.down_proj", pattern: `experts\\.\\d+\\.${escaped(down)}` },
    { parameter: "mlp.gate.weight", pattern: "gate" }
  ]
}

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
    rank_pattern: withParts(fields["rank_pattern"], chosen),
    alpha_pattern: withParts(fields["alpha_pattern"], chosen)
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
