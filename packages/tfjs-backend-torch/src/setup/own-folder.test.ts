import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { fillWhole, writable } from "./own-folder.ts"
import { systemRefusal } from "./setup-failure.ts"

let parent: string
let folder: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "own-folder-"))
  folder = join(parent, "python")
})
afterEach(() => rmSync(parent, { recursive: true }))

const isWhole = () => existsSync(join(folder, "last"))
const put = (place: string, text: string) => {
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, "last"), text)
}

it("gives the name to what is whole, and takes away what was broken off", () => {
  mkdirSync(folder)
  writeFileSync(join(folder, "first"), "")
  fillWhole(folder, isWhole, (unfinished) => {
    expect(unfinished).not.toBe(folder)
    put(unfinished, "ours")
  })
  expect([readdirSync(parent), readdirSync(folder)]).toEqual([["python"], ["last"]])
})

it("leaves nothing where filling fails, and what was there before as it was", () => {
  mkdirSync(folder)
  const fill = (unfinished: string) => {
    put(unfinished, "half")
    throw new Error("no network")
  }
  expect(() => fillWhole(folder, isWhole, fill)).toThrow("no network")
  expect([readdirSync(parent), readdirSync(folder)]).toEqual([["python"], []])
})

it("keeps what another process finished meanwhile", () => {
  fillWhole(folder, isWhole, (unfinished) => {
    put(unfinished, "ours")
    put(folder, "theirs")
  })
  expect([readdirSync(parent), readFileSync(join(folder, "last"), "utf8")]).toEqual([["python"], "theirs"])
})

it("removes what killed processes left, not what others are filling", () => {
  const dead = spawnSync("true").pid
  for (const name of [`python.${dead}`, `python.${process.ppid}`, "python.old"]) mkdirSync(join(parent, name))
  fillWhole(folder, isWhole, (unfinished) => put(unfinished, "ours"))
  expect(readdirSync(parent)).toEqual(["python", `python.${process.ppid}`, "python.old"])
  mkdirSync(join(parent, `python.${dead}`))
  fillWhole(folder, isWhole, () => expect.unreachable("it is whole"))
  expect(readdirSync(parent)).toEqual(["python", `python.${process.ppid}`, "python.old"])
})

it("says which folder the system refuses", () => {
  writeFileSync(folder, "")
  let cause: unknown
  try {
    writable(join(folder, "build"))
  } catch (thrown) {
    cause = thrown
  }
  expect(systemRefusal(cause, folder)).toMatchObject({
    name: "SetupFailure",
    kind: "cannot-write",
    message: `ENOTDIR: not a directory, mkdir '${folder}/build'. Set-up writes into ${folder}: make it a folder that you may write to, with room in it`
  })
  expect(systemRefusal(new Error("a fault of ours"), folder)).toBeUndefined()
})
