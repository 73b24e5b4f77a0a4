import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { servedAdapters } from "./served-adapters.ts"

const folder = mkdtempSync(join(tmpdir(), "a=b-"))
afterAll(() => rmSync(folder, { recursive: true }))

const read = (...given: ReadonlyArray<string>) => Effect.runSync(servedAdapters(given, "tiny"))
const refused = (...given: ReadonlyArray<string>) => Effect.runSync(Effect.flip(servedAdapters(given, "tiny"))).message

describe("--adapter of plumb serve", () => {
  it("is one folder for the model itself, even with an equals sign in its path", () => {
    expect(read()).toEqual({ own: undefined, named: new Map() })
    expect(read(folder)).toEqual({ own: folder, named: new Map() })
  })

  it("is names and folders for adapters beside the model", () => {
    expect(read(`curt=${folder}`, `polite=${folder}`)).toEqual({
      own: undefined,
      named: new Map([
        ["curt", folder],
        ["polite", folder]
      ])
    })
  })

  it("is refused where a request could not tell which is meant", () => {
    expect(refused(`curt=${folder}`, `curt=${folder}`)).toContain("there are two adapters named curt")
    expect(refused(`tiny=${folder}`)).toContain("tiny is the name of the model itself")
    expect(refused(`curt=${folder}`, folder)).toContain("has no name")
    expect(refused("curt=nowhere")).toContain("nowhere: there is no such folder")
    expect(refused(join(folder, "nowhere"))).toContain("there is no such folder")
  })
})
