import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { freeLock, isHeld, takeLock } from "./file-lock.ts"

const lockFile = () => join(mkdtempSync(join(tmpdir(), "plumbline-lock-")), "a.lock")

it("is one process's until it gives it back", () => {
  const file = lockFile()
  expect([takeLock(file), isHeld(file), takeLock(file)]).toEqual([undefined, true, process.pid])
  freeLock(file)
  expect([isHeld(file), takeLock(file)]).toEqual([false, undefined])
})

it.skipIf(!existsSync("/proc/self/stat"))("is nobody's where its holder was killed, buried or not", async () => {
  // its child ends, and sleep does not wait for children
  const parent = spawn("sh", ["-c", "sleep 0.01 & echo $!; exec sleep 20"], { stdio: ["ignore", "pipe", "ignore"] })
  const [text] = (await once(parent.stdout, "data")) as [Buffer]
  const pid = Number(text.toString())
  const state = () => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "")[0]
  while (state() !== "Z") await new Promise((resolve) => setTimeout(resolve, 5))
  const file = lockFile()
  writeFileSync(file, JSON.stringify({ pid }))
  expect([isHeld(file), takeLock(file)]).toEqual([false, undefined])
  parent.kill()
})
