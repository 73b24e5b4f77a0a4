import { readResponse, smallTasks } from "@plumbline/recipes/small-tasks.ts"
import { describe, expect, it } from "vitest"

const sizes = { demonstrations: 4000, pairs: 900, heldOut: 100 }
const made = smallTasks({ seed: 3, ...sizes })

/** The answer by the words of the prompt: another way than the generator's. */
const solve = (prompt: string): string => {
  const last = prompt.trimEnd().split(" ").at(-1)!
  if (prompt.includes("+")) {
    const [a, b] = prompt.match(/\d/g)!.map(Number)
    return `${a! + b!}`
  }
  if (/Capitals|Shout/.test(prompt)) return last.toUpperCase()
  if (/Reverse|Backwards/.test(prompt)) return `${last[2]}${last[1]}${last[0]}`
  if (/^(Last letter|The end)/.test(prompt)) return last[2]!
  return String.fromCodePoint(last.codePointAt(0)! + 1)
}

const share = <A>(values: ReadonlyArray<A>, test: (value: A) => boolean): number =>
  values.filter(test).length / values.length

describe("the quickstart's tasks", () => {
  it("are a function of the seed", () => {
    expect(smallTasks({ seed: 3, ...sizes })).toEqual(made)
    expect(smallTasks({ seed: 4, ...sizes }).demonstrations).not.toEqual(made.demonstrations)
  })

  it("know the answers of all five kinds", () => {
    expect(new Set(made.heldOutTasks.map(({ kind }) => kind)).size).toBe(5)
    for (const { answer, prompt } of made.heldOutTasks) expect(answer, prompt).toBe(solve(prompt))
  })

  it("have demonstrations of mixed quality: 30 % wrong, half of them polite", () => {
    const read = made.demonstrations.map(({ completion, prompt }) => ({ ...readResponse(completion), prompt }))
    // four standard errors of 4,000 draws: 0.029 and 0.032
    expect(Math.abs(share(read, ({ answer, prompt }) => answer !== solve(prompt)) - 0.3)).toBeLessThan(0.029)
    expect(Math.abs(share(read, ({ polite }) => polite) - 0.5)).toBeLessThan(0.032)
  })

  it("prefer right answers in the polite style to everything else", () => {
    const pairs = [...made.pairs, ...made.heldOutPairs]
    const good = (prompt: string, response: string) => {
      const { answer, polite } = readResponse(response)
      return polite && answer === solve(prompt)
    }
    for (const { chosen, prompt, rejected } of pairs) {
      expect(good(prompt, chosen), prompt).toBe(true)
      expect(good(prompt, rejected), prompt).toBe(false)
    }
    // of the three ways to be worse, each has its third: four standard errors of 1,000 draws are 0.06
    const curt = share(pairs, ({ rejected }) => !readResponse(rejected).polite)
    const wrong = share(pairs, ({ prompt, rejected }) => readResponse(rejected).answer !== solve(prompt))
    expect(Math.abs(curt - 2 / 3)).toBeLessThan(0.06)
    expect(Math.abs(wrong - 2 / 3)).toBeLessThan(0.06)
  })

  it("hold prompts out that no training data has", () => {
    const seen = new Set([...made.demonstrations, ...made.pairs].map(({ prompt }) => prompt))
    for (const { prompt } of [...made.heldOutTasks, ...made.heldOutPairs]) expect(seen.has(prompt), prompt).toBe(false)
  })
})
