export type SetupFailureKind =
  | "platform"
  | "not-a-libtorch"
  | "no-python"
  | "pip-refused"
  | "torch-too-old"
  | "header-mismatch"
  | "no-compiler"
  | "compile-failed"

/** Why no addon could be built, and what to do about it. */
export class SetupFailure extends Error {
  readonly kind: SetupFailureKind

  constructor(kind: SetupFailureKind, message: string) {
    super(message)
    this.name = "SetupFailure"
    this.kind = kind
  }
}
