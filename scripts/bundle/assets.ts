import { globSync } from "node:fs"
import { cp } from "node:fs/promises"
import { join } from "node:path"

/** Files that the programs read while they run, by their path in the repository. */
const ASSETS = [
  "LICENSE",
  "packages/cli/package.json",
  "packages/*/src/**/*.{wasm,cu,cuh}",
  "packages/tfjs-backend-torch/native/**/*.{cc,h,cu,cuh}",
  "node_modules/@tensorflow/tfjs-backend-wasm/dist/*.wasm",
  "node_modules/@dqbd/tiktoken/{package.json,encoders/*.json,lite/tiktoken_bg.wasm}",
  "node_modules/better-sqlite3/prebuilds/linux-x64.node",
  "node_modules/node-addon-api/{package.json,*.js,*.h}",
  "node_modules/node-api-headers/{package.json,index.js,include/*.h}"
]

/** Copies the assets below `folder`, each under its path in the repository. @throws where a pattern finds nothing */
export const copyAssets = async (root: string, folder: string): Promise<void> => {
  for (const pattern of ASSETS) {
    const files = globSync(pattern, { cwd: root })
    if (files.length === 0) throw new Error(`no file is ${pattern}: is everything installed (npm ci)?`)
    for (const file of files) await cp(join(root, file), join(folder, file), { dereference: true })
  }
}
