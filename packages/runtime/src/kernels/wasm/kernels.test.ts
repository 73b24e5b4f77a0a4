import { main } from "assemblyscript/asc"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"

it("kernels.wasm is what its sources compile to (else: npm run build:kernels in packages/runtime)", async () => {
  const baseDir = fileURLToPath(new URL("../../..", import.meta.url))
  const written: Array<Uint8Array> = []
  const { error, stderr } = await main(["--config", "asconfig.json", "--baseDir", baseDir], {
    writeFile: (_, contents) => void written.push(contents as Uint8Array)
  })
  expect(error, String(stderr)).toBeNull()
  const committed = readFileSync(new URL("./kernels.wasm", import.meta.url))
  expect(written.map((compiled) => committed.equals(compiled))).toEqual([true])
})
