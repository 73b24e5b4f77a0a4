import { type Argument, type Handle, loadAddon, type Operator } from "./addon.ts"
import { free } from "./free.ts"

/**
 * Handles made since the innermost kernel began. The kernel's scope frees them at its end, except those that became its
 * outputs: memory waiting for the garbage collector would fill a GPU within one step.
 */
const temporaries: Array<Handle> = []

/** Handles that became outputs of kernels that are still running. */
const outputs: Array<Handle> = []

/** Runs `body`, then frees every handle it made except those it kept; all of them where it throws. */
export const inScope = <A extends ReadonlyArray<unknown>, R>(body: (...args: A) => R, ...args: A): R => {
  const first = temporaries.length
  const firstOutput = outputs.length
  try {
    return body(...args)
  } catch (cause) {
    temporaries.push(...outputs.splice(firstOutput))
    throw cause
  } finally {
    if (outputs.length > firstOutput) outputs.length = firstOutput
    for (let i = temporaries.length; i > first; i--) free(temporaries.pop()!)
  }
}

/** Has the scope free `handle`, which did not come from an operator. */
export const temporary = (handle: Handle): Handle => {
  temporaries.push(handle)
  return handle
}

/** Takes a handle out of those that the scope frees. */
export const keep = (handle: Handle): void => {
  const place = temporaries.lastIndexOf(handle)
  if (place >= 0) {
    const last = temporaries.pop()!
    if (place < temporaries.length) temporaries[place] = last
  }
  outputs.push(handle)
}

type Call<R> = (...args: ReadonlyArray<Argument>) => R

const lookUp = (name: string): Operator => {
  const [base, overload = ""] = name.split(".") as [string, string?]
  return loadAddon().operator(base.includes("::") ? base : `aten::${base}`, overload)
}

/** Looked up at the first call, so that kernels can be declared where no torch is. */
const caller = (name: string): Call<unknown> => {
  let operator: Operator | undefined
  return (...args) => loadAddon().call((operator ??= lookUp(name)), ...args)
}

/** An operator whose result no scope frees. */
export const atenOwned = (name: string): Call<Handle> => caller(name) as Call<Handle>

/** An operator with one result: `aten("add.Tensor")`. */
export const aten = (name: string): Call<Handle> => {
  const call = caller(name)
  return (...args) => temporary(call(...args) as Handle)
}

/** An operator with several results, or one that is a list. */
export const atenAll = (name: string): Call<Array<Handle>> => {
  const call = caller(name)
  return (...args) => {
    const results = call(...args) as Array<Handle>
    for (const result of results) if (result !== null) temporaries.push(result)
    return results
  }
}

/** An operator that writes into its argument and gives nothing else. */
export const atenInPlace = (name: string): Call<void> => caller(name) as Call<void>
