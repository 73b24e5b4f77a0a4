import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { root } from "./reference-files.ts"

/** What an example prints, line by line. */
const printed = async (name: string): Promise<ReadonlyArray<string>> => {
  const { stderr, stdout } = await promisify(execFile)(process.execPath, [join(root, "examples", name)])
  expect(stderr).toBe("")
  return stdout.trimEnd().split("\n")
}

/** The number after `word` in a line. */
const numberAfter = (word: string, line: string | undefined): number =>
  Number(line?.split(`${word} `)[1]?.split(/[, ]/)[0])

const checks: Readonly<Record<string, (lines: ReadonlyArray<string>) => void>> = {
  "train-a-model.ts": (lines) => {
    expect(numberAfter("loss", lines[0])).toBeLessThan(0.1)
    expect(lines.slice(1)).toEqual(["foxes", "cities"])
  },
  "score-a-text.ts": (lines) => {
    // an untrained model finds its 257 tokens about equally likely: ln 257 = 5.549
    expect(lines.at(-1)).toMatch(/^… 35 tokens, /)
    expect(Math.abs(numberAfter("mean", lines.at(-1)) + Math.log(257))).toBeLessThan(0.05)
    expect(lines.slice(0, 5).map((line) => JSON.parse(line.split("  ")[0]!) as string)).toEqual([..." plum"])
  },
  "agent-with-tools.ts": (lines) => {
    const skies = { Oslo: "rain", Lima: "snow", Cairo: "fog", Tunis: "sun", Delhi: "rain" }
    expect(lines.slice(1).map((line) => line.split("<|im_end|>")[1])).toEqual(
      Object.entries(skies).map(([city, sky]) => ` ${city} has ${sky}.`)
    )
  },
  "custom-preference-loss.ts": (lines) => {
    // no loss once every margin is 1; it is 1 at the start, where policy = reference
    expect(numberAfter("loss", lines[0])).toBeLessThan(0.01)
    expect(numberAfter("margin", lines[0])).toBeGreaterThan(0.99)
  },
  "custom-reward.ts": (lines) => {
    // answers 1, 1, 0, 1 are (v − ¾)/½ twice, work 1, 0, 0, 0 is (v − ¼)/½, and 37 tokens are 7 of the 10 beyond 30
    const rewards = lines.map((line) => Number(line.trim().split(" ")[0]))
    expect(rewards).toEqual([2.5, 0.5, -3.5, -0.2])
  },
  "custom-algorithm.ts": (lines) => {
    // seven of the 64 ordered pairs of 8 tokens count upwards: 0.109, give or take four standard errors of 448 draws
    expect(Math.abs(numberAfter("reward", lines[0]) - 7 / 64)).toBeLessThan(0.06)
    expect(numberAfter("reward", lines.at(-1))).toBeGreaterThan(0.95)
  }
}

describe("examples", () => {
  it("all have a check", () => {
    const files = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts") && name !== "services.ts")
    expect(files.toSorted()).toEqual(Object.keys(checks).toSorted())
  })

  it.each(Object.entries(checks))("%s", async (name, check) => check(await printed(name)))

  it("add a loss in one file of fewer than 30 lines", () => {
    const text = readFileSync(join(root, "examples", "custom-preference-loss.ts"), "utf8")
    expect(text.trimEnd().split("\n").length).toBeLessThan(30)
  })
})
