import type { AnyBuiltin } from "@plumbline/algorithms/commands"
import { readConfig } from "@plumbline/models"
import { type AdapterOptions, adapterSize } from "@plumbline/peft"
import { Effect } from "effect"
import { type CostOptions, type Costs, costsOf } from "./costs.ts"
import { type PlanOptions, workloadOf } from "./workload.ts"

export type PlannedOptions = PlanOptions &
  Omit<CostOptions, "adapter" | "quantised"> &
  AdapterOptions & { readonly model: string }

/** What a run of an algorithm that reads all it learns from would take. Its data are read; no weight is. */
export const plannedCosts = Effect.fnUntraced(function* (builtin: AnyBuiltin, options: PlannedOptions) {
  const config = yield* readConfig(options.model)
  const workload = yield* workloadOf(builtin, options.model, config.maxPositions, options)
  const adapter = yield* adapterSize(config, options)
  return { config, costs: costsOf(config, workload, { ...options, adapter, quantised: options.quantised === true }) }
})

/** Bytes in all. */
export const memoryTotal = ({ memory }: Costs): number => Object.values(memory).reduce((total, part) => total + part, 0)
