import { describe, expect, it } from "vitest"
import { addonPath, type Argument, type Handle, loadAddon } from "./addon.ts"
import { FLOAT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("what the torch addon is given", () => {
  const call = (name: string, ...args: ReadonlyArray<Argument>) =>
    loadAddon().call(loadAddon().operator(`aten::${name}`, ""), ...args)
  const refusal = (message: string) => expect.objectContaining({ name: "TorchError", kind: "argument", message })

  it("is refused as a size or an axis where it is no whole number, by name", () => {
    const x = call("zeros", [2]) as Handle
    expect(() => call("narrow", x, 0, 0.5, 1)).toThrow(
      refusal("aten::narrow: argument start must be a whole number, but is 0.5")
    )
    const odd: ReadonlyArray<readonly [number, string]> = [
      [Number.NaN, "nan"],
      [-Infinity, "-inf"],
      [2 ** 53, "9.0072e+15"]
    ]
    for (const [size, text] of odd)
      expect(() => call("zeros", [1, size])).toThrow(
        refusal(`aten::zeros: argument size must be a whole number, but is ${text}`)
      )
    const shape = ["one"] as unknown as Array<number>
    const upload = () => loadAddon().fromHost(new Float32Array(1), shape, FLOAT32, "cpu")
    expect(upload).toThrow(refusal("fromHost: A number was expected"))
    loadAddon().dispose([x])
  })

  it("is counted by the garbage collector where it came from the host, and in views as long as any is left", () => {
    const addon = loadAddon()
    const { collectableBytes: before } = addon.handleStatistics()
    const counted = () => addon.handleStatistics().collectableBytes - before
    const x = addon.fromHost(new Float32Array(6), [2, 3], FLOAT32, "cpu")
    const [copy, room] = [addon.toDevice(x, FLOAT32, "cpu"), addon.empty([5], FLOAT32, -1)]
    expect(counted()).toBe(24 + 24 + 20)
    addon.dispose([copy, room])
    const [turned, same] = [call("t", x), call("t", x)] as [Handle, Handle]
    expect(counted()).toBe(24)
    const after = [x, turned, same].map((handle) => (addon.dispose([handle]), counted()))
    expect(after).toEqual([24, 24, 0])
  })
})
