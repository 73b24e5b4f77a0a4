import { createHash, type Hash } from "node:crypto"
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs"
import { join } from "node:path"

const SETTINGS = new Set(["config.json", "generation_config.json", "adapter_config.json"])
const BLOCK = 2 ** 16
const BLOCKS = 64

/**
 * Tells one folder of a model or an adapter from another, wherever it lies: its settings, and of each weights file the size and 64 blocks
 * spread over it. Training changes all weights, so what lies between need not be read.
 */
export const modelFingerprint = (folder: string): string => {
  const hash = createHash("sha256")
  for (const name of readdirSync(folder).toSorted()) {
    if (SETTINGS.has(name)) hash.update(`${name}\n`).update(readFileSync(join(folder, name)))
    if (name.endsWith(".safetensors")) addBlocks(hash.update(`${name}\n`), join(folder, name))
  }
  return hash.digest("hex")
}

const addBlocks = (hash: Hash, path: string): void => {
  const file = openSync(path, "r")
  try {
    const { size } = fstatSync(file)
    hash.update(`${size}\n`)
    const buffer = new Uint8Array(BLOCK)
    const stride = Math.max(BLOCK, Math.ceil(size / BLOCKS))
    for (let at = 0; at < size; at += stride) {
      hash.update(buffer.subarray(0, readSync(file, buffer, 0, BLOCK, at)))
    }
  } finally {
    closeSync(file)
  }
}
