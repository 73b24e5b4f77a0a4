import type { Tensor } from "./tf.ts"

interface Scope {
  readonly id: number
  readonly track: ReadonlyArray<Tensor>
}

/** What we use of tfjs's engine. */
export interface ScopedEngine {
  readonly startScope: (name?: string) => void
  readonly track: (tensor: Tensor) => Tensor
  readonly state: { readonly scopeStack: Array<Scope>; activeScope: Scope | null }
}

/**
 * Ends the innermost scope as tfjs does: what was made in it is freed, except these tensors, which go to the one around it.
 * tfjs looks for them in whatever a function returned, and makes sets of what it finds.
 */
export const endScope = (engine: ScopedEngine, results: ReadonlyArray<Tensor>): void => {
  const { state } = engine
  const ended = state.scopeStack.pop()!
  for (const tensor of ended.track) {
    if (!tensor.kept && !hasId(results, tensor.id)) tensor.dispose()
  }
  state.activeScope = state.scopeStack.at(-1) ?? null
  for (const result of results) {
    const { scopeId } = result as unknown as { readonly scopeId: number }
    if (!result.kept && scopeId === ended.id) engine.track(result)
  }
}

const hasId = (tensors: ReadonlyArray<Tensor>, id: number): boolean => {
  for (const tensor of tensors) if (tensor.id === id) return true
  return false
}

/** `tf.tidy` of a function that returns a list of tensors. */
export const scoped = (engine: ScopedEngine, body: () => ReadonlyArray<Tensor>): ReadonlyArray<Tensor> => {
  engine.startScope()
  let results: ReadonlyArray<Tensor> = []
  try {
    return (results = body())
  } finally {
    endScope(engine, results)
  }
}
