export type SetupFailureKind =
  | "platform"
  | "not-a-libtorch"
  | "no-python"
  | "pip-refused"
  | "torch-too-old"
  | "header-mismatch"
  | "no-compiler"
  | "compile-failed"
  | "does-not-load"
  | "cannot-write"

/** Why no addon could be built, and what to do about it. */
export class SetupFailure extends Error {
  readonly kind: SetupFailureKind

  constructor(kind: SetupFailureKind, message: string) {
    super(message)
    this.name = "SetupFailure"
    this.kind = kind
  }
}

/** What the system refused, as a folder that cannot be written to; nothing where the cause is another. */
export const systemRefusal = (cause: unknown, folder: string): SetupFailure | undefined => {
  if (!(cause instanceof Error) || !("syscall" in cause)) return undefined
  return new SetupFailure(
    "cannot-write",
    `${cause.message}. Set-up writes into ${folder}: make it a folder that you may write to, with room in it`
  )
}

/** A line of another program's, which may name thousands of files, so that it leaves room for others on a screen. */
export const shortened = (line: string): string => (line.length > 300 ? `${line.slice(0, 300)}…` : line)
