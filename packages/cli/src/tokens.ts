import type { Flag } from "./flags.ts"

/**
 * Ties values to their flags with `=`, where yargs could take a value for something else: a switch never takes the
 * argument after it unless that is true or false, or nothing else could take it; other flags take `-1e-3` or `-text`.
 */
export const bindValues = (
  argv: ReadonlyArray<string>,
  flags: ReadonlyArray<Flag>,
  takesArguments: boolean
): ReadonlyArray<string> => {
  const byName = new Map(flags.map((flag) => [flag.name, flag]))
  const bound: Array<string> = []
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i]!
    if (token === "--") return [...bound, ...argv.slice(i)]
    const flag = token.startsWith("--") ? byName.get(token.slice(2)) : undefined
    const next = argv[i + 1]
    if (flag?.kind === "boolean" && !flag.list) {
      const taken =
        next === "true" || next === "false" || (!takesArguments && next !== undefined && !next.startsWith("-"))
      bound.push(`${token}=${taken ? argv[++i] : "true"}`)
    } else if (flag !== undefined && next !== undefined && !next.startsWith("--") && next !== "-h") {
      bound.push(`${token}=${argv[++i]}`)
    } else {
      bound.push(token)
    }
  }
  return bound
}
