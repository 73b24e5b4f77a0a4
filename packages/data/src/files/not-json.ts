/** Where a file is kept by Git LFS, a clone without it has this in the file's place. */
const POINTER = "version https://git-lfs."

/** Whether a file that begins so is what Git LFS left in its place. @param start its first 24 characters at least */
export const isLfsPointer = (start: string): boolean => start.startsWith(POINTER)

export const LFS_POINTER = "this is the pointer that Git LFS left in place of the file: fetch it with `git lfs pull`"

/** Why a text is not JSON. @param cause what JSON.parse threw */
export const notJson = (text: string, cause: unknown): string =>
  isLfsPointer(text) ? LFS_POINTER : `not JSON: ${(cause as Error).message}`
