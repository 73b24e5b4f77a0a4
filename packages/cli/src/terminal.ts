import { Effect } from "effect"

interface Stream {
  readonly isTTY?: boolean
  readonly write: (text: string) => unknown
}

/** Colours go to terminals unless NO_COLOR is set (https://no-color.org). */
export const usesColour = (
  stream: Pick<Stream, "isTTY">,
  environment: Readonly<Record<string, string | undefined>> = process.env
): boolean => stream.isTTY === true && environment["TERM"] !== "dumb" && (environment["NO_COLOR"] ?? "") === ""

/** A line of a result, on standard output. */
export const print = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** One JSON object on a line of standard output. */
export const printJson = (value: unknown): Effect.Effect<void> => print(JSON.stringify(value))

/** A remark, on standard error. */
export const remark = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`${text}\n`))

/** Columns that help and tables may use. */
export const textWidth = (stream: { readonly columns?: number } = process.stdout): number =>
  Math.min(stream.columns || 100, 120)
