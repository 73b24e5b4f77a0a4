import type { PairScore } from "./pair-report.ts"

const CODE = ["hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"]

/** RewardBench's sections and their subsets. @see Lambert et al. 2024, https://arxiv.org/abs/2403.13787 */
const SECTIONS: Readonly<Record<string, ReadonlyArray<string>>> = {
  Chat: ["alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"],
  "Chat Hard": [
    "mt-bench-hard",
    "llmbar-natural",
    "llmbar-adver-neighbor",
    "llmbar-adver-GPTInst",
    "llmbar-adver-GPTOut",
    "llmbar-adver-manual"
  ],
  Safety: ["refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond", "donotanswer"],
  Reasoning: ["math-prm", ...CODE]
}

/**
 * Accuracy of each section whose subsets are all there: the mean over its pairs, with math counting as much as all code together.
 * With the four of them `Score`, their mean.
 */
export const sectionScores = (subsets: Readonly<Record<string, PairScore>>): Readonly<Record<string, number>> => {
  const code = CODE.reduce((pairs, name) => pairs + (subsets[name]?.pairs ?? 0), 0)
  const weight = (name: string) => (name === "math-prm" ? code : subsets[name]!.pairs)
  const scored = Object.entries(SECTIONS).flatMap(([section, names]) => {
    if (names.some((name) => subsets[name] === undefined)) return []
    const all = names.reduce((sum, name) => sum + weight(name), 0)
    return [[section, names.reduce((sum, name) => sum + weight(name) * subsets[name]!.accuracy, 0) / all] as const]
  })
  if (scored.length < Object.keys(SECTIONS).length) return Object.fromEntries(scored)
  const score = scored.reduce((sum, [, accuracy]) => sum + accuracy, 0) / scored.length
  return { ...Object.fromEntries(scored), Score: score }
}
