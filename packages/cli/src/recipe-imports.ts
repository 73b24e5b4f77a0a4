import { registerHooks } from "node:module"

/** What a recipe may import without having it beside itself. */
const OURS = /^(@plumbline\/|effect(\/|$))/

let registered = false

/**
 * Lets a recipe anywhere on the disk import Plumbline's packages and Effect. Those that it has in a node_modules of its own
 * come first; the others are these.
 */
export const resolveForRecipes = (): void => {
  if (registered) return
  registered = true
  registerHooks({
    resolve: (specifier, context, next) => {
      try {
        return next(specifier, context)
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND" || !OURS.test(specifier)) throw cause
        try {
          return next(specifier, { ...context, parentURL: import.meta.url })
        } catch {
          // names the recipe as who wanted it
          throw cause
        }
      }
    }
  })
}
