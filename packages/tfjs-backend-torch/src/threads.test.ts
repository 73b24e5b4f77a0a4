import { execFile } from "node:child_process"
import { once } from "node:events"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { Worker } from "node:worker_threads"
import { describe, expect, it } from "vitest"
import { addonPath, loadAddon } from "./addon.ts"

const urlOf = (file: string) => JSON.stringify(pathToFileURL(`${import.meta.dirname}/${file}`).href)

/** A program that has the addon. */
const withAddon = (body: string) => `import(${urlOf("addon.ts")}).then(({ loadAddon }) => {
  const addon = loadAddon()
  ${body}
})`

describe.skipIf(addonPath() === undefined)("the addon in threads and processes of their own", () => {
  it("counts the tensors of each thread by themselves", async () => {
    const before = loadAddon().handleStatistics()
    // 64 MiB, of which the thread's own garbage collector is told
    const many = "globalThis.kept = addon.empty([2 ** 24], 6, -1)"
    const tell = 'require("node:worker_threads").parentPort.postMessage(addon.handleStatistics())'
    const worker = new Worker(withAddon(`${many}\n${tell}`), { eval: true })
    const [[there], [code]] = await Promise.all([once(worker, "message"), once(worker, "exit")])
    expect([code, there]).toEqual([0, { handles: 1, bytes: 2 ** 26, collectableBytes: 2 ** 26, toldBytes: 2 ** 26 }])
    expect(loadAddon().handleStatistics()).toEqual(before)
  })

  it("records what its own thread does", async () => {
    const addon = loadAddon()
    const recording = addon.recordBegin()
    try {
      const work = 'addon.dispose([addon.call(addon.operator("aten::relu", ""), addon.empty([4], 6, -1))])'
      const worker = new Worker(withAddon(`${work}\naddon.recordReset(addon.recordBegin())`), { eval: true })
      expect(await once(worker, "exit")).toEqual([0])
    } finally {
      addon.recordEnd(recording)
      addon.recordReset(recording)
    }
  })

  it("has all its threads again after what is too little for them, also where it fails", async () => {
    const script = `const before = [addon.threads(2), addon.threads()]
      const mm = addon.operator("aten::mm", "")
      const [a, b, c] = [addon.empty([3, 4], 6, -1), addon.empty([4, 5], 6, -1), addon.empty([6, 5], 6, -1)]
      addon.call(mm, a, b)
      let failed = false
      try { addon.call(mm, a, c) } catch { failed = true }
      console.log(JSON.stringify([...before, failed, addon.threads()]))`
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", withAddon(script)])
    expect(JSON.parse(stdout)).toEqual([2, 2, true, 2])
  })

  it("says nothing of its own on standard error, whatever the processor", async () => {
    const convolution = `const [x, w] = [addon.empty([1, 3, 6, 5], 6, -1), addon.empty([3, 3, 2, 3], 6, -1)]
      addon.call(addon.operator("aten::convolution", ""), x, w, null, [1, 1], [0, 0], [1, 1], false, [0, 0], 1)`
    const { stderr } = await promisify(execFile)(process.execPath, ["-e", withAddon(convolution)])
    expect(stderr).toBe("")
  })
})
