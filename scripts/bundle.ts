/**
 * `npm run bundle`: makes the folder `bundle/`, which runs `plumb` on Linux x64 machines without npm or a network:
 *
 *   sh bundle/run.sh COMMAND [option…]
 *
 * It may be copied anywhere. Where the machine has a PyTorch and g++, the first command builds the torch backend's
 * addon against it.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { packApp, packNode } from "./bundle/archives.ts"
import { copyAssets } from "./bundle/assets.ts"
import { bundleJavaScript } from "./bundle/javascript.ts"

/** Bytes that a bundle may have. */
const LIMIT = 45 * 2 ** 20

const root = join(import.meta.dirname, "..")
const folder = join(root, "bundle")

if (process.platform !== "linux" || process.arch !== "x64") {
  throw new Error(`a bundle is made on Linux x64, not on ${process.platform} ${process.arch}`)
}

const makeBundle = async (): Promise<ReadonlyArray<string>> => {
  await mkdir(folder, { recursive: true })
  const scratch = await mkdtemp(join(tmpdir(), "plumbline-bundle-"))
  try {
    const app = join(scratch, "app")
    await bundleJavaScript(root, app)
    await copyAssets(root, app)
    const runner = join(folder, "run.sh")
    await copyFile(join(root, "scripts/bundle/run.sh"), runner)
    return [runner, await packApp(app, folder, scratch), await packNode(process.execPath, folder)]
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const removeOthers = async (kept: ReadonlyArray<string>): Promise<void> => {
  const names = new Set(kept.map((file) => basename(file)))
  for (const name of await readdir(folder)) {
    if (!names.has(name)) await rm(join(folder, name), { recursive: true })
  }
}

const files = await makeBundle()
await removeOthers(files)
const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
const total = sizes.reduce((sum, size) => sum + size, 0)
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
for (const [i, file] of files.entries()) console.log(`${mebibytes(sizes[i]!).padStart(9)}  bundle/${basename(file)}`)
console.log(`${mebibytes(total).padStart(9)}  in all, of ${mebibytes(LIMIT)} at most`)
if (total > LIMIT) {
  console.error("the bundle is too large; with xz installed it is a third smaller than with gzip")
  process.exitCode = 1
}
