import { mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ADDON_FOLDER, ADDON_RECORD } from "../addon.ts"
import { NATIVE_SOURCES } from "../native-sources.ts"
import { buildAddon } from "./build.ts"
import { findLibtorch } from "./libtorch.ts"
import { SetupFailure } from "./setup-failure.ts"

// npm run setup:torch – finds a libtorch and builds the addon against it. LIBTORCH, CXX and CUDA_HOME are read.

const say = (line: string) => process.stderr.write(`setup:torch: ${line}\n`)

try {
  if (process.platform !== "linux")
    throw new SetupFailure("platform", `only Linux is supported, not ${process.platform}`)
  const libtorch = findLibtorch(join(ADDON_FOLDER, "python"), process.env, say)
  const compiler = process.env["CXX"] ?? "g++"
  const path = buildAddon({ libtorch, sources: NATIVE_SOURCES, folder: join(ADDON_FOLDER, "build"), compiler, say })
  mkdirSync(ADDON_FOLDER, { recursive: true })
  writeFileSync(`${ADDON_RECORD}.new`, `${JSON.stringify({ path, torch: libtorch.version }, null, 2)}\n`)
  renameSync(`${ADDON_RECORD}.new`, ADDON_RECORD)
  if (libtorch.hasCuda && libtorch.cudaHeaders.length === 0) {
    say("this torch has CUDA, but the CUDA toolkit's headers were not found (CUDA_HOME): the addon is for the CPU only")
  }
  say(`torch ${libtorch.version}${libtorch.cudaHeaders.length > 0 ? " with CUDA" : ""} is ready (${libtorch.root})`)
} catch (failure) {
  if (!(failure instanceof SetupFailure)) throw failure
  say(`${failure.kind}: ${failure.message}`)
  process.exitCode = 1
}
