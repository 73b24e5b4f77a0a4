import { Effect } from "effect"
import { SaveFailed } from "../errors.ts"
import { TensorUnread } from "../safetensors/stored-tensor.ts"

/** Writes weights to `folder`, a file or folder. What the device throws when its tensors are read stays a defect of its own. */
export const saving = (folder: string, write: () => Promise<void>): Effect.Effect<void, SaveFailed> =>
  Effect.tryPromise({ try: write, catch: (cause) => cause as NodeJS.ErrnoException }).pipe(
    Effect.catch((cause) =>
      cause instanceof TensorUnread
        ? Effect.die(cause.cause)
        : Effect.fail(new SaveFailed({ folder, reason: reasonOf(cause) }))
    )
  )

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EEXIST: "the path, or a part of it, is a file",
  ENOTDIR: "a part of the path is a file"
}

const reasonOf = ({ code, message }: NodeJS.ErrnoException): string => REASONS[code ?? ""] ?? message
