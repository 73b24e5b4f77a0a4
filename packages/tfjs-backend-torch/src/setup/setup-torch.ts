import { join } from "node:path"
import { ADDON_FOLDER, ADDON_RECORD } from "../addon.ts"
import { NATIVE_SOURCES } from "../native-sources.ts"
import { buildAddon } from "./build.ts"
import { findLibtorch } from "./libtorch.ts"
import { writeRecord } from "./own-folder.ts"
import { SetupFailure, systemRefusal } from "./setup-failure.ts"

// npm run setup:torch – finds a libtorch and builds the addon against it. LIBTORCH, CXX and CUDA_HOME are read.

const say = (line: string) => process.stderr.write(`setup:torch: ${line}\n`)

try {
  if (process.platform !== "linux")
    throw new SetupFailure("platform", `only Linux is supported, not ${process.platform}`)
  const libtorch = findLibtorch(join(ADDON_FOLDER, "python"), process.env, say)
  const compiler = process.env["CXX"] ?? "g++"
  const path = buildAddon({ libtorch, sources: NATIVE_SOURCES, folder: join(ADDON_FOLDER, "build"), compiler, say })
  writeRecord(ADDON_RECORD, { path, torch: libtorch.version })
  if (libtorch.hasCuda && libtorch.cudaHeaders.length === 0) {
    say("this torch has CUDA, but the CUDA toolkit's headers were not found (CUDA_HOME): the addon is for the CPU only")
  }
  say(`torch ${libtorch.version}${libtorch.cudaHeaders.length > 0 ? " with CUDA" : ""} is ready (${libtorch.root})`)
} catch (cause) {
  const failure = cause instanceof SetupFailure ? cause : systemRefusal(cause, ADDON_FOLDER)
  if (failure === undefined) throw cause
  say(`${failure.kind}: ${failure.message}`)
  process.exitCode = 1
}
