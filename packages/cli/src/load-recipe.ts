import { flagsOf, type OptionSchema } from "./flags.ts"
import type { Recipe } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { CommandFailure } from "./command.ts"
import { resolveForRecipes } from "./recipe-imports.ts"
import { runFlagFields } from "./run-services.ts"
import { isUsersFrame } from "./users-code.ts"

/** A recipe file that cannot be run. */
export class RecipeInvalid extends Schema.TaggedError<RecipeInvalid>()("RecipeInvalid", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `recipe ${this.file}: ${this.reason}`
  }
}

export type AnyRecipe = Recipe<OptionSchema, unknown, CommandFailure>

/** Imports a recipe file. Its code runs. */
export const loadRecipe = Effect.fn("loadRecipe")(function* (file: string) {
  const refuse = (reason: string) => new RecipeInvalid({ file, reason })
  if (!existsSync(file)) return yield* refuse("no such file")
  resolveForRecipes()
  // what a recipe calls throws from many frames below it
  Error.stackTraceLimit = 50
  const module = yield* Effect.tryPromise({
    try: async () => (await import(pathToFileURL(resolve(file)).href)) as { readonly default?: unknown },
    catch: (cause) => refuse(`cannot be loaded: ${traceOf(cause)}`)
  })
  if (!isRecipe(module.default)) {
    return yield* refuse("its default export is not a recipe; write: export default recipe({ name, params, run })")
  }
  const taken = flagsOf(module.default.params).filter(({ field }) => field in runFlagFields || field === "config")
  if (taken.length > 0) {
    return yield* refuse(`parameter "${taken[0]!.field}" is a flag of plumb run itself; give it another name`)
  }
  return module.default
})

/** The message and where it happened in files of the user's. */
const traceOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const lines = (cause.stack ?? cause.message).split("\n")
  // a frame has four spaces; schemas say with two at which field a value is wrong
  return lines.filter((text) => !/^ {4}at /.test(text) || isUsersFrame(text)).join("\n")
}

const isRecipe = (value: unknown): value is AnyRecipe => {
  if (typeof value !== "object" || value === null) return false
  const { name, params, run } = value as Partial<AnyRecipe>
  return typeof name === "string" && typeof run === "function" && Schema.isSchema(params) && "fields" in params
}
