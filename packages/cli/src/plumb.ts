import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { clipToWidth } from "./table.ts"
import type { Command, CommandFailure } from "./command.ts"
import { modelCommands, recipeCommand, runCommands, trainingCommands } from "./commands.ts"
import { suggestion } from "./suggest.ts"
import { print, textWidth } from "./terminal.ts"
import { UsageError } from "./usage-error.ts"

/** Runs one command line: `argv` is what follows `plumb`. */
export const plumb = (argv: ReadonlyArray<string>): Effect.Effect<void, CommandFailure> =>
  Effect.gen(function* () {
    const [name, ...rest] = argv
    if (name === "--version" || name === "-v") return yield* print(version())
    if (name === "help" && rest.length > 0) return yield* plumb([...rest, "--help"])
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      return yield* print(overview())
    }
    const command = yield* findCommand(name)
    const run = yield* Effect.promise(command.load)
    yield* run(rest)
  })

const findCommand = Effect.fnUntraced(function* (name: string) {
  const commands = [...trainingCommands, recipeCommand, ...modelCommands, ...runCommands]
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return found
  const names = commands.map((command) => command.name)
  const problem = name.startsWith("-")
    ? `unknown option ${name}: options follow a command`
    : `unknown command "${name}"${suggestion(name, names)}`
  return yield* new UsageError({ problems: [problem], help: "plumb --help lists the commands" })
})

const overview = (): string => {
  const sections: ReadonlyArray<readonly [string, ReadonlyArray<Command>]> = [
    ["Train", [...trainingCommands, recipeCommand]],
    ["Use a model", modelCommands],
    ["Runs", runCommands]
  ]
  const width = Math.max(...sections.flatMap(([, commands]) => commands.map(({ name }) => name.length)))
  const lines = ({ name, summary, usage }: Command) =>
    [`  ${name.padEnd(width)}  ${summary}`, ...(usage === "" ? [] : [`  ${" ".repeat(width)}  plumb ${name} ${usage}`])]
      .map((line) => clipToWidth(line, textWidth()))
      .join("\n")
  return [
    "plumb COMMAND [option…]: aligns language models with demonstrations and preferences.",
    ...sections.map(([title, commands]) => `${title}\n${commands.map(lines).join("\n")}`),
    "plumb COMMAND --help shows the options of a command; plumb --version the version."
  ].join("\n\n")
}

const version = (): string => {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8")
  return (JSON.parse(manifest) as { readonly version: string }).version
}
