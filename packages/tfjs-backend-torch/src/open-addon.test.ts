import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it, vi } from "vitest"
import { addonPath } from "./addon.ts"
import { digestOfSources } from "./native-sources.ts"
import { openAddon, TorchUnavailable } from "./open-addon.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "torch-addon-"))
  mkdirSync(join(folder, "sources"))
  writeFileSync(join(folder, "sources", "addon.cc"), "int main() {}")
})
afterAll(() => rmSync(folder, { recursive: true }))

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

/** A module that says of itself what an addon does. */
const pretended = (name: string, identity: object): string =>
  write(`${name}.cjs`, `module.exports = ${JSON.stringify(identity)}`)

const refusal = (path: string): string => {
  try {
    openAddon(path, join(folder, "sources"))
  } catch (cause) {
    expect(cause).toBeInstanceOf(TorchUnavailable)
    const { message } = cause as Error
    expect(message).toMatch(/^[^\n]+; run: npm run setup:torch$/)
    return message
  }
  throw new Error(`${path} was taken`)
}

it("refuses a file that is not there, is no library, or is another module", () => {
  expect(refusal(join(folder, "gone.node"))).toContain("gone.node is not there")
  expect(refusal(write("broken.node", "not ELF"))).toContain("does not load (")
  expect(refusal(pretended("other", {}))).toContain("other.cjs is another module")
})

it("passes on what a library of another Node says, in one line", () => {
  const lines =
    "was compiled against\\nNODE_MODULE_VERSION 115. This version of Node.js requires\\nNODE_MODULE_VERSION 137"
  const file = write("old.cjs", `throw new Error("The module ${lines}")`)
  expect(refusal(file)).toContain(
    "(The module was compiled against NODE_MODULE_VERSION 115. This version of Node.js requires NODE_MODULE_VERSION 137)"
  )
})

it("names sources alone, not what an editor leaves beside them", () => {
  const sources = join(folder, "sources")
  const digest = digestOfSources(sources)
  symlinkSync("user@host.1", join(sources, ".#addon.cc"))
  writeFileSync(join(sources, ".addon.cc.swp"), "")
  mkdirSync(join(sources, ".vscode"))
  expect(digestOfSources(sources)).toBe(digest)
  writeFileSync(join(sources, "device.h"), "")
  expect(digestOfSources(sources)).not.toBe(digest)
})

it("refuses an addon of other sources, and one that found another torch than its own", () => {
  const sources = digestOfSources(join(folder, "sources"))
  const [torchVersion, libraryVersion] = ["2.13.0", "2.11.0"]
  expect(refusal(pretended("stale", { torchVersion, libraryVersion: torchVersion, sources: "0" }))).toContain(
    "was built from other sources"
  )
  expect(refusal(pretended("mixed", { torchVersion, libraryVersion, sources }))).toContain(
    "was built for torch 2.13.0 but loads the library of torch 2.11.0"
  )
  const good = { torchVersion, libraryVersion: torchVersion, sources }
  expect(openAddon(pretended("good", good), join(folder, "sources"))).toMatchObject(good)
})

it("takes an empty PLUMBLINE_TORCH_ADDON for none", () => {
  try {
    vi.stubEnv("PLUMBLINE_TORCH_ADDON", undefined)
    const built = addonPath()
    vi.stubEnv("PLUMBLINE_TORCH_ADDON", "")
    expect(addonPath()).toBe(built)
  } finally {
    vi.unstubAllEnvs()
  }
})
