import { type TokenizerShape, type TokenizerThread, tokenizerThread } from "@plumbline/data"
import { Effect, Exit, Scope } from "effect"

interface Shared {
  readonly thread: TokenizerThread
  readonly scope: Scope.Closeable
  users: number
}

const shared = new WeakMap<TokenizerShape, Shared>()

/** Gives `body` the one thread of the tokenizer, which all who are in here share and the last to leave ends. */
export const withSharedThread = async <A>(
  tokenizer: TokenizerShape,
  body: (thread: TokenizerThread) => Promise<A>
): Promise<A> => {
  const own = shared.get(tokenizer) ?? begin(tokenizer)
  own.users += 1
  try {
    return await body(own.thread)
  } finally {
    own.users -= 1
    if (own.users === 0) {
      shared.delete(tokenizer)
      await Effect.runPromise(Scope.close(own.scope, Exit.void))
    }
  }
}

const begin = (tokenizer: TokenizerShape): Shared => {
  const scope = Scope.makeUnsafe()
  const own = { thread: Effect.runSync(Scope.provide(tokenizerThread(tokenizer), scope)), scope, users: 0 }
  shared.set(tokenizer, own)
  return own
}
