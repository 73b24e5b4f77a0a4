import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { join } from "node:path"

/** The repository's root. */
export const root = fileURLToPath(new URL("..", import.meta.url))

const shared = join(root, "..", "shared")

/** Recorded models and curves live beside the repository; tests that read them skip, visibly, where they are absent. */
export const golden = join(shared, "golden")
export const hasGolden = existsSync(golden)

/** Whether `npm run setup:torch` has built an addon; tests of the torch backend skip, visibly, where it has not. */
export const torchIsSetUp = existsSync(join(root, ".torch", "addon.json"))
