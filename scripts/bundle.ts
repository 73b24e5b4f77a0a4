/**
 * `npm run bundle`: makes the folder `bundle/`, which runs `plumb` on Linux x64 machines without npm or a network:
 *
 *   sh bundle/run.sh COMMAND [option…]
 *
 * It may be copied anywhere. Where the machine has a PyTorch and g++, the first command builds the torch backend's
 * addon against it.
 */
import { statSync } from "node:fs"
import { join } from "node:path"
import { smallest } from "./bundle/archives.ts"
import { makeBundle } from "./bundle/make-bundle.ts"

/** Bytes that a bundle may have. */
const LIMIT = 45 * 2 ** 20

const root = join(import.meta.dirname, "..")
const folder = join(root, "bundle")
const files = (await makeBundle(root, folder, smallest())).map((name) => ({
  name: `bundle/${name}`,
  bytes: statSync(join(folder, name)).size
}))
const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
const size = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(9)
for (const { bytes, name } of files) console.log(`${size(bytes)}  ${name}`)
console.log(`${size(total)}  in all, of ${size(LIMIT).trim()} at most`)
if (total > LIMIT) {
  console.error("the bundle is too large; with xz installed it is a third smaller than with gzip")
  process.exitCode = 1
}
