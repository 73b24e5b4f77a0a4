import { build, type Plugin } from "esbuild"
import { readFile } from "node:fs/promises"
import { extname, join, relative, sep } from "node:path"

/** Programs of a bundle, by name. */
const PROGRAMS = {
  main: "packages/cli/bin/plumb.js",
  "tokenizer-worker": "packages/data/src/tokenizer/tokenizer-worker.ts",
  "setup-torch": "packages/tfjs-backend-torch/src/setup/setup-torch.ts"
} as const

/**
 * Bundles the programs into `folder`: `main.js`, the others, and the parts they load when needed.
 *
 * @param root the repository
 */
export const bundleJavaScript = async (root: string, folder: string): Promise<void> => {
  await build({
    absWorkingDir: root,
    entryPoints: { ...PROGRAMS },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
    banner: { js: BANNER },
    plugins: [originalPlaces(root)]
  })
}

/** In every file of the bundle: its folder, and `require` for the CommonJS modules inside. */
const BANNER = `import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url); const __bundleFolder = import.meta.dirname;`

/**
 * Modules find their assets relative to themselves. In a bundle all are one file, so each is told the place it had:
 * its path in the repository, below the bundle's folder, where the assets lie too. What they say of npm is said of the bundle's script.
 */
const originalPlaces = (root: string): Plugin => ({
  name: "original places",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\.[cm]?[jt]s$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8")
      const spoken = text.replaceAll("npm run setup:torch", "sh run.sh setup")
      const place = relative(root, path).split(sep).join("/")
      const contents = spoken.includes("import.meta.") ? placedModule(spoken, place) : placedCommonJs(spoken, place)
      return contents === text ? undefined : { contents, loader: extname(path).endsWith("ts") ? "ts" : "js" }
    })
  }
})

const expressions = (place: string) => {
  const filename = `__bundleFolder + ${JSON.stringify(`/${place}`)}`
  const dirname = `__bundleFolder + ${JSON.stringify(`/${join(place, "..")}`)}`
  return { filename, dirname, url: `process.getBuiltinModule("node:url").pathToFileURL(${filename}).href` }
}

const placedModule = (text: string, place: string): string => {
  const values = Object.entries(expressions(place)).map(([name, value]) => `const __original_${name} = ${value};`)
  return `${values.join("")}\n${text.replace(/\bimport\.meta\.(url|dirname|filename)\b/g, "__original_$1")}`
}

const placedCommonJs = (text: string, place: string): string => {
  if (!/\b__(?:dirname|filename)\b/.test(text) || /\bconst __dirname\b/.test(text)) return text
  const { dirname, filename } = expressions(place)
  return `var __dirname = ${dirname}, __filename = ${filename};\n${text}`
}
