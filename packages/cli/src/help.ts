import yargsParser from "yargs-parser"
import type { CommandLine } from "./command-line.ts"
import { textWidth } from "./terminal.ts"
import { type Flag, flagsOf, flagText, type OptionSchema } from "./flags.ts"

/** yargs splits arguments and lays out help, and decides nothing. */
const PARSING = {
  "boolean-negation": false,
  "camel-case-expansion": false,
  "dot-notation": false,
  "duplicate-arguments-array": true,
  "parse-numbers": false,
  "parse-positional-numbers": false,
  "short-option-groups": false,
  "strip-aliased": true
} as const

export const CONFIG_FLAG: Flag = {
  field: "config",
  name: "config",
  kind: "string",
  list: false,
  choices: [],
  description: "JSON or YAML file of options, keys in camelCase; flags win over it",
  defaultValue: undefined,
  required: false
}

/** The flags of a command, `--config` included where it takes one. */
export const commandFlags = (line: CommandLine<OptionSchema>): ReadonlyArray<Flag> =>
  line.configFile ? [...flagsOf(line.options), CONFIG_FLAG] : flagsOf(line.options)

const asks = (word: string) => word === "--help" || word === "-h"

/** Whether help is asked for of a command whose first argument decides what its options are, and which was not given. */
export const asksForHelp = ([first = "", ...rest]: ReadonlyArray<string>): boolean =>
  asks(first) || (first.startsWith("-") && rest.some(asks))

/** Arguments split into flags, each as text, and others. */
export const splitArguments = (words: ReadonlyArray<string>) =>
  yargsParser([...words], { boolean: ["help"], alias: { help: ["h"] }, configuration: PARSING })

/** What `--help` shows. yargs takes 100 ms to load, and no other command waits for it. */
export const helpOf = async (line: CommandLine<OptionSchema>): Promise<string> => {
  const { default: yargs } = await import("yargs")
  const parser = yargs()
    .scriptName("plumb")
    .usage(`plumb ${line.name} ${line.usage}`.trimEnd() + `\n\n${capital(line.summary)}.${argumentsText(line)}`)
    .help(false)
    .version(false)
    .wrap(textWidth())
  for (const flag of commandFlags(line)) {
    const shown = flag.defaultValue === undefined ? {} : { defaultDescription: flagText(flag.defaultValue) }
    parser.option(flag.name, { describe: describe(flag), group: `${line.group(flag.field)}:`, ...shown })
  }
  return parser.option("help", { alias: "h", boolean: true, describe: "show this", group: "Other:" }).getHelp()
}

const describe = ({ choices, description, required }: Flag): string => {
  const allowed = choices.length === 0 ? "" : ` (${choices.join(" | ")})`
  return `${description}${allowed}${required ? " [required]" : ""}`
}

const argumentsText = ({ arguments: args }: CommandLine<OptionSchema>): string =>
  args.length === 0 ? "" : `\n\n${args.map(({ description, name }) => `${name}: ${description}`).join("\n")}`

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
