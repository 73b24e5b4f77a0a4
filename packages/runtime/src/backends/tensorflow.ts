import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { OutOfMemory } from "../device-failure.ts"
import { tf } from "../tf.ts"

/** Where `npm run setup:tensorflow` puts what it makes. */
export const TENSORFLOW_FOLDER = join(import.meta.dirname, "../../../../.tensorflow")

/** What setup leaves behind: the binding it compiled, and the TensorFlow it is linked to. */
export const TENSORFLOW_RECORD = join(TENSORFLOW_FOLDER, "binding.json")

export interface TensorflowBinding {
  /** The compiled binding. */
  readonly binding: string
  /** Folder of the @tensorflow/tfjs-node package whose TypeScript side it serves. */
  readonly package: string
  /** Release of the TensorFlow library. */
  readonly version: string
}

const require = createRequire(import.meta.url)

/** The packages that bring a binary of their own, where their installation succeeded. */
const PUBLISHED = ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"]

/**
 * Loads the "tensorflow" backend into tfjs: a published package with its own binary where one is installed, else
 * the binding that `npm run setup:tensorflow` compiled.
 *
 * @returns what was loaded, in words
 * @throws where there is neither
 */
export const loadTensorflow = (): string => {
  // its log lines would break the progress line; 2 leaves errors
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2"
  restoreNodeUtil()
  const published = PUBLISHED.find(isInstalled)
  if (published !== undefined) {
    require(published)
    return published
  }
  if (!existsSync(TENSORFLOW_RECORD)) {
    throw new Error(
      "neither @tensorflow/tfjs-node-gpu nor @tensorflow/tfjs-node is installed; npm run setup:tensorflow compiles their binding"
    )
  }
  return registerCompiled(TENSORFLOW_RECORD)
}

/**
 * Loads the binding that setup wrote down.
 *
 * @returns what was loaded, in words
 * @throws in one line where it is gone or does not load
 */
export const registerCompiled = (record: string): string => {
  try {
    const compiled = JSON.parse(readFileSync(record, "utf8")) as TensorflowBinding
    register(compiled)
    return `TensorFlow ${compiled.version}`
  } catch (cause) {
    const reason = String((cause as Error).message)
      .replaceAll(/\s+/g, " ")
      .slice(0, 300)
    throw new Error(`what setup compiled does not load (${reason}); run: npm run setup:tensorflow`, { cause })
  }
}

const isInstalled = (name: string): boolean => {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

/** tfjs-node asks node:util for a function that Node 23 removed, and for one whose use it warns of. */
const restoreNodeUtil = (): void => {
  const util = require("node:util") as Record<"isNullOrUndefined" | "isArray", (value: unknown) => boolean>
  util.isNullOrUndefined ??= (value) => value === null || value === undefined
  util.isArray = Array.isArray
}

const register = ({ binding, package: folder }: TensorflowBinding): void => {
  if (tf.findBackendFactory("tensorflow") != null) return
  require(join(folder, "dist/register_all_kernels.js"))
  const { NodeJSKernelBackend } = require(join(folder, "dist/nodejs_kernel_backend.js"))
  const native = require(binding)
  tf.registerBackend("tensorflow", () => new NodeJSKernelBackend(native, "@tensorflow/tfjs-node"), 3)
}

/** What TensorFlow refuses for want of memory: its status 8, which names the tensor. */
export const tensorflowFailure = (cause: unknown): OutOfMemory | undefined => {
  if (!(cause instanceof Error) || !/^Invalid TF_Status: 8$/m.test(cause.message)) return undefined
  const [, shape, type] = /tensor with shape\[([\d,]*)\] and type (\w+)/.exec(cause.message) ?? []
  const size = BYTES[type ?? ""]
  return new OutOfMemory({
    operator: /kernels\/(\w+)\.js/.exec(cause.stack ?? "")?.[1] ?? "an operation of TensorFlow",
    shapes: shape === undefined ? "" : `${type}[${shape}]`,
    bytesAsked: shape === undefined || size === undefined ? null : elements(shape) * size,
    bytesFree: null
  })
}

/** Of an element, by TensorFlow's name of its type. */
const BYTES: Readonly<Record<string, number>> = { float: 4, int32: 4, int64: 8, bool: 1, double: 8, complex64: 8 }

const elements = (shape: string): number =>
  shape.split(",").reduce((product, length) => product * (length === "" ? 1 : Number(length)), 1)
