import { copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Compression, packApp, packNode } from "./archives.ts"
import { copyAssets } from "./assets.ts"
import { bundleJavaScript } from "./javascript.ts"

const RUNNER = "run.sh"

/**
 * Makes the folder that runs `plumb` where there is neither npm nor a network; other files in it are removed.
 *
 * @param root the repository, with everything installed
 * @returns names of its files
 */
export const makeBundle = async (
  root: string,
  folder: string,
  compression: Compression
): Promise<ReadonlyArray<string>> => {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`a bundle is made on Linux x64, not on ${process.platform} ${process.arch}`)
  }
  await mkdir(folder, { recursive: true })
  const scratch = await mkdtemp(join(tmpdir(), "plumbline-bundle-"))
  try {
    const app = join(scratch, "app")
    await bundleJavaScript(root, app)
    await copyAssets(root, app)
    await copyFile(join(root, "scripts/bundle", RUNNER), join(folder, RUNNER))
    const packedApp = await packApp(app, { scratch, folder }, compression)
    const packedNode = await packNode(process.execPath, { scratch, folder }, compression)
    const names = [RUNNER, packedApp, packedNode]
    await removeOthers(folder, names)
    return names
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const removeOthers = async (folder: string, kept: ReadonlyArray<string>): Promise<void> => {
  for (const name of await readdir(folder)) {
    if (!kept.includes(name)) await rm(join(folder, name), { recursive: true })
  }
}
