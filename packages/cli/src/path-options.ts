import { isAddress } from "@plumbline/algorithms/commands"
import { FileMissing } from "@plumbline/data"
import { ModelNotFound } from "@plumbline/models"
import { AdapterInvalid } from "@plumbline/peft"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"

type Options = Readonly<Record<string, unknown>>

/** Options of algorithms that name what a run reads, and what it lacks where nothing is there. */
const INPUTS = {
  model: (folder: string) => new ModelNotFound({ folder, reason: "no such folder" }),
  reference: (folder: string) => new ModelNotFound({ folder, reason: "no such folder" }),
  teacher: (folder: string) => new ModelNotFound({ folder, reason: "no such folder" }),
  critic: (folder: string) => new ModelNotFound({ folder, reason: "no such folder" }),
  adapter: (folder: string) => new AdapterInvalid({ file: folder, reason: "there is no such folder" }),
  criticAdapter: (folder: string) => new AdapterInvalid({ file: folder, reason: "there is no such folder" }),
  rewardModel: (folder: string) =>
    new ModelNotFound({ folder, reason: "no such folder, and no address of a server, which begins with http://" }),
  head: (file: string) => new FileMissing({ file }),
  train: (file: string) => new FileMissing({ file }),
  eval: (file: string) => new FileMissing({ file })
} as const

/** Fails at once on a model or a data file that is not there; the run would find out after loading the others. */
export const checkInputs = (options: Options) =>
  Effect.forEach(
    Object.entries(INPUTS),
    ([field, absent]) => {
      const missing = [options[field]]
        .flat()
        .filter(isPath)
        .find((path) => !existsSync(path))
      return missing === undefined ? Effect.void : Effect.fail(absent(missing))
    },
    { discard: true }
  )

/** An address of a server, which may stand where a folder does, is none. */
const isPath = (value: unknown): value is string => typeof value === "string" && !isAddress(value)

/** Paths made absolute, so that a run can go on from anywhere. */
export const absolutePaths = (options: Options): Options =>
  Object.fromEntries(
    Object.entries(options).map(([field, value]) => {
      if (!(field in INPUTS || field === "output" || field === "store")) return [field, value]
      const absolute = (one: unknown) => (isPath(one) ? resolve(one) : one)
      return [field, Array.isArray(value) ? value.map(absolute) : absolute(value)]
    })
  )
