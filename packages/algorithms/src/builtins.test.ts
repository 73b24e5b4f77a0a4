import { expect, it } from "vitest"
import { builtins } from "./builtins.ts"

it("every algorithm that writes responses as it trains can have a server write them, and no other has the option", async () => {
  const all = await Promise.all(builtins.map(({ load }) => load()))
  const writing = all.filter(({ generates, name }) => generates === true || name === "distill")
  expect(writing).toHaveLength(15)
  const served = all.filter(({ options }) => "generatorUrl" in options.fields)
  expect(served.map(({ name }) => name)).toEqual(writing.map(({ name }) => name))
  for (const { name, options } of served) expect(Object.keys(options.fields), name).toContain("generationTimeout")
})

it("each is loaded under its own name", async () => {
  for (const { load, name } of builtins) expect((await load()).name).toBe(name)
})
