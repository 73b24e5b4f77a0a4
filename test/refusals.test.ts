import { mkdtempSync, existsSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumb } from "./plumb.ts"
import { plumbHere } from "./plumb-here.ts"
import { golden, hasGolden } from "./reference-files.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-refusals-"))
  for (const [name, rows] of Object.entries(files)) {
    writeFileSync(join(folder, name), rows.map((row) => JSON.stringify(row)).join("\n"))
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const model = join(golden, "models", "llama")

const pair = { prompt: "Q", chosen: "A", rejected: "B" }
const judged = (label: boolean) => ({ prompt: "Q", completion: "A", label })
const files = {
  "pairs.jsonl": [pair, pair],
  "graded.jsonl": [
    { ...pair, chosen_reward: 1, rejected_reward: 0.5 },
    { ...pair, chosen_reward: 1 }
  ],
  "good.jsonl": [judged(true), judged(true)],
  "bad.jsonl": [judged(false), judged(false)],
  "both.jsonl": [judged(true), judged(false)],
  "asked.jsonl": [
    { prompt: "Q", answer: "A" },
    { prompt: "R", answer: "B" }
  ]
}

// command, file, further flags; then what the failure says
const refused: ReadonlyArray<readonly [string, string, string, string]> = [
  ["dpo", "pairs.jsonl", "--loss robust --label-smoothing 0.5", "a label smoothing of 0.5 is not in [0, ½)"],
  ["dpo", "pairs.jsonl", "--loss sigmoid,robust --label-smoothing 0.7", "a label smoothing of 0.7 is not in [0, ½)"],
  ["dpo", "pairs.jsonl", "--loss exo_pair", "needs a label smoothing above 0"],
  ["dpo", "pairs.jsonl", "--loss hinge --label-smoothing 0.1", "--label-smoothing: is not read by --loss hinge"],
  ["dpo", "pairs.jsonl", "--f-divergence js_divergence --alpha 0.3", "--alpha: is not read by --loss sigmoid with"],
  ["dpo", "pairs.jsonl", "--reference-mixup 0.3", "give --reference-sync-steps, too"],
  [
    "dpo",
    "pairs.jsonl",
    "--reference-sync-steps 2 --precompute-reference",
    "a reference that moves cannot be asked once"
  ],
  ["dpo", "pairs.jsonl", "--loss sigmoid,sft --loss-weights 1", "1 weights for 2 losses"],
  ["dpo", "pairs.jsonl", "--loss rpo_sq", "pairs.jsonl:1 has no chosen_reward and rejected_reward (nor have 1 others)"],
  ["dpo", "graded.jsonl", "--loss sft,rpo_fwd_kl", "graded.jsonl:2 has no chosen_reward and rejected_reward"],
  ["kto", "both.jsonl", "--batch-size 1", "a batch of 1 has no other: take a --batch-size of 2 or more"],
  ["dpo", "pairs.jsonl", "--loss sigmoid,sft --loss-weights 0,0", "weighs nothing more than 0"],
  ["dpo", "pairs.jsonl", "--loss aot --wpo", "aot sets pairs against one another"],
  ["kto", "both.jsonl", "--desirable-weight 0 --undesirable-weight 0", "both classes weigh 0"],
  ["self-rewarding", "asked.jsonl", "--missing-eos-penalty 1", "is read with --reward or --reward-model alone"],
  ["kto", "good.jsonl", "", "no response is undesirable"],
  ["kto", "bad.jsonl", "--loss bco", "no response is desirable"],
  ["kto", "both.jsonl", "--loss bco --desirable-weight 2", "--desirable-weight: is not read by --loss bco"],
  ["simpo", "pairs.jsonl", `--reference ${model}`, "simpo looks at the policy alone and never asks a reference"],
  ["cpo", "pairs.jsonl", "--label-smoothing 0.5", "a label smoothing of 0.5 is not in [0, ½)"],
  ["cpo", "pairs.jsonl", "--loss ipo --label-smoothing 0.1", "--label-smoothing: is not read by --loss ipo"],
  ["rloo", "asked.jsonl", "", "--reward: nothing judges the responses"],
  [
    "grpo",
    "asked.jsonl",
    "--reward-model nowhere",
    "no such folder, and no address of a server, which begins with http://"
  ],
  ["ppo", "asked.jsonl", `--reward-model ${model}`, "holds no reward model: there is no score.weight"],
  [
    "online-dpo",
    "asked.jsonl",
    "--reward-model http://127.0.0.1:9",
    "the reward server at http://127.0.0.1:9/v1/rewards cannot be used: no connection"
  ],
  ["xpo", "asked.jsonl", "--reward exact_answer --attribute-weights good=1", "is read with --reward-model alone"],
  ["reinforce", "asked.jsonl", "--reward exact_answer --eval-samples 2", "--eval-samples: is read with --eval alone"],
  [
    "ppo",
    "asked.jsonl",
    "--reward exact_answer --critic-url http://127.0.0.1:9",
    "the critic failed to give values: http://127.0.0.1:9"
  ],
  ["rejection-sampling", "pairs.jsonl", "--reward exact_answer --keep 5", "5 of 4 samples cannot be kept"],
  [
    "rejection-sampling",
    "pairs.jsonl",
    "--reward exact_answer --batch-size 2",
    "pairs.jsonl:1 has no answer to judge by (nor have 1 others)"
  ],
  ["online-dpo", "pairs.jsonl", "--reward exact_answer --samples 1", "a pair needs two responses"],
  ["grpo", "asked.jsonl", "--reward exact_answer --loss cispo", "needs --cispo-cap"],
  ["grpo", "asked.jsonl", "--reward exact_answer --loss cispo --cispo-cap 0.2", "0.2 would hold every token there"],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --loss sapo --clip-range 0.1",
    "--clip-range: is not read by --loss sapo"
  ],
  ["grpo", "asked.jsonl", "--reward exact_answer --samples 1", "nobody to be compared with"],
  ["grpo", "asked.jsonl", "--reward exact_answer --temperature 0", "every response would be the same"],
  ["grpo", "asked.jsonl", "--reward exact_answer --dual-clip 0.5", "a dual bound of 0.5"],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --kl-target 6",
    "--kl-target: is not read where --kl-coefficient is 0"
  ],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --kl-coefficient 0.1 --kl-estimator k1",
    "k1 has no gradient in the loss"
  ],
  ["grpo", "asked.jsonl", "--reward exact_answer --reward-weights 1,2", "2 weights for 1 rewards"],
  ["grpo", "asked.jsonl", "--reward exact_answer --dynamic-sampling 2", "all of the 2 prompts: none is left"],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --staleness 1 --sampler-correction none",
    "needs a --sampler-correction"
  ],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --normalize-each-reward true --scale-rewards none",
    "--normalize-each-reward: divides by the deviation in the group"
  ],
  [
    "grpo",
    "asked.jsonl",
    "--reward exact_answer --normalize-each-reward true --kl-coefficient 0.1 --kl-place reward --kl-estimator k1",
    "--normalize-each-reward: sees no KL in the reward"
  ],
  ["grpo", "pairs.jsonl", "--reward exact_answer", "pairs.jsonl:1 has no answer to judge by (nor have 1 others)"],
  ["reinforce", "asked.jsonl", "--reward exact_answer --inner-epochs 2", "would not know that the policy has moved"],
  ["remax", "asked.jsonl", "--reward exact_answer --clip-range 0.1", "--clip-range: is not read by remax"],
  ["xpo", "pairs.jsonl", "--reward exact_answer", "pairs.jsonl:1 has no answer to judge by"],
  ["nash-md", "pairs.jsonl", "--reward exact_answer", "pairs.jsonl:1 has no answer to judge by"],
  ["a2po", "pairs.jsonl", "--reward exact_answer", "pairs.jsonl:1 has no answer to judge by"],
  ["self-rewarding", "pairs.jsonl", "--reward exact_answer", "pairs.jsonl:1 has no answer to judge by"],
  ["alphapo", "pairs.jsonl", "--alpha 0", "at 0 it is simpo"],
  ["rm", "pairs.jsonl", "--loss scaled_bt", "pairs.jsonl:1 does not say"],
  ["rm", "graded.jsonl", "--loss margin_bt", "graded.jsonl:2 does not say"],
  ["rm", "pairs.jsonl", "--attribute-weights helpfulness=1", "the reward model scores reward, not helpfulness"],
  ["rm", "pairs.jsonl", `--head ${model}`, "has no score.weight"],
  ["tpo", "pairs.jsonl", "", "reference"],
  ["tpo", "pairs.jsonl", "--gamma 1", "--gamma: is not read by --loss sigmoid"]
]

/** What no other test starts: the first case of each is a process of its own. */
const apart = ["cpo", "alphapo", "tpo", "reinforce", "remax"].map((name) =>
  refused.find(([command]) => command === name)
)

describe.skipIf(!hasGolden)("before the first step, with the reason and no run folder", () => {
  it.each(refused)("plumb %s on %s %s is refused", async (...refusal) => {
    const [command, file, flags, message] = refusal
    const output = join(folder, "never")
    const files = ["--model", model, "--train", join(folder, file), "--output", output]
    const given = (flags.includes("--batch-size") ? flags : `--batch-size 2 ${flags}`).trim().split(" ")
    const start = apart.some((first) => first?.join() === refusal.join()) ? plumb : plumbHere
    const { code, stderr, stdout } = await start([command, ...files, "--max-steps", "1", ...given])
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toContain(message)
    expect(existsSync(output)).toBe(false)
  })
})
