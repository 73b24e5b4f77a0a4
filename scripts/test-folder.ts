import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"

const PREFIX = "plumbline-tests-"

let folder: string | undefined

/** Gives all tests of a run one temporary folder. */
export const setup = (): void => {
  if (basename(tmpdir()).startsWith(PREFIX)) return
  folder = mkdtempSync(join(tmpdir(), PREFIX))
  process.env["TMPDIR"] = folder
}

/** Takes it away, with whatever tests left there. */
export const teardown = (): void => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
