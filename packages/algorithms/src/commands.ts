/** What a command line has to know before it loads an algorithm. Nothing here imports one. */
export type { Builtin, ReferenceUse } from "./builtin.ts"
export { type AnyBuiltin, type BuiltinEntry, builtins } from "./builtins.ts"
export { isAddress } from "./responses/address.ts"
