import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"

/** How one spec of tfjs-core's published suite ended. */
export interface SpecOutcome {
  readonly name: string
  readonly status: "passed" | "failed" | "pending" | "excluded"
  readonly reasons: ReadonlyArray<string>
}

export type SpecBackend = "torch" | "wasm"

const require = createRequire(import.meta.url)

/** jasmine_util asks for `require` and the wasm backend for `__dirname`, which modules do not have. */
const NODE_GLOBALS = `import { createRequire as createRequireOf } from "node:module"
import { dirname as dirnameOf } from "node:path"
import { fileURLToPath as pathOf } from "node:url"
const require = createRequireOf(import.meta.url)
const __filename = pathOf(import.meta.url)
const __dirname = dirnameOf(__filename)`

/** The suite for one backend as one module: tfjs-core, its gradients and chained operators, the backend and the specs. */
export const bundleSpecs = async (backend: SpecBackend, outfile: string): Promise<void> => {
  const core = "@tensorflow/tfjs-core/dist"
  const imports = [
    `./${backend}-environment.ts`,
    `${core}/register_all_gradients`,
    `${core}/public/chained_ops/register_all_chained_ops`,
    `${core}/tests`
  ]
  await build({
    stdin: {
      contents: imports.map((name) => `import "${name}"`).join("\n"),
      resolveDir: import.meta.dirname,
      loader: "ts"
    },
    bundle: true,
    format: "esm",
    platform: "node",
    ignoreAnnotations: true,
    mainFields: ["module", "main"],
    logLevel: "error",
    banner: { js: NODE_GLOBALS },
    outfile
  })
}

/** Runs tfjs-core's own specs on a backend, in a process of their own: jasmine's globals are not vitest's. */
export const runCoreSpecs = async (backend: SpecBackend, addon = ""): Promise<ReadonlyArray<SpecOutcome>> => {
  const folder = await mkdtemp(join(tmpdir(), "core-specs-"))
  try {
    const [bundle, report] = [join(folder, "specs.mjs"), join(folder, "report.json")]
    await bundleSpecs(backend, bundle)
    const wasm = `${dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`
    // Threads of OpenMP that wait for each other on a busy machine cost more than these small tensors give.
    const environment = { PLUMBLINE_TORCH_ADDON: addon, CORE_SPECS_WASM: wasm, OMP_NUM_THREADS: "1" }
    await promisify(execFile)(process.execPath, [join(import.meta.dirname, "run.mjs"), bundle, report], {
      env: { ...process.env, ...environment }
    })
    return JSON.parse(await readFile(report, "utf8")) as ReadonlyArray<SpecOutcome>
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The kernel that a failing spec lacked; `undefined` where something that is there gave a wrong result. */
export const lacking = ({ reasons }: SpecOutcome): string | undefined => {
  for (const reason of reasons) {
    const kernel = /Kernel '(\w+)' not registered/.exec(reason)?.[1]
    if (kernel !== undefined) return kernel
  }
  return undefined
}
