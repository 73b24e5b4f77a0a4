/** A reward of your own: a rule in one line, beside built-in ones, normalised and weighed. `npx node examples/custom-reward.ts` */
import {
  combine,
  groupStandardised,
  numericAnswer,
  overlong,
  Reward,
  type RewardRule,
  ruleReward
} from "@plumbline/reward-model"
import { Console, Effect } from "effect"

/** 1 where the response shows its work. */
const showsWork: RewardRule = { name: "shows_work", score: ({ text }) => (/\d\s*[-+*/]\s*\d/.test(text) ? 1 : 0) }

const reward = combine([
  { reward: ruleReward(numericAnswer({ weight: 2 }), showsWork), normalise: groupStandardised() },
  { reward: ruleReward(overlong({ maxLength: 40, buffer: 10 })) }
])

const responses = ["6 * 7 = 42\n#### 42", "#### 42", "#### 41", `${"well, ".repeat(35)}\n#### 42`]
const group = {
  row: "example:1",
  prompt: { ids: Int32Array.of(), text: "What is six times seven?" },
  // here a token is a word
  responses: responses.map((text) => ({ text, ids: Int32Array.from(text.split(/\s+/), (_, i) => i) })),
  answer: "42"
}

const program = Effect.gen(function* () {
  const [judged] = yield* Effect.flatMap(Reward, ({ judge }) => judge([group]))
  for (const [i, { parts, reward: total }] of judged!.responses.entries()) {
    const shown = parts.map(({ name, raw, value }) => `${name} ${raw} → ${value!.toFixed(2)}`).join(", ")
    yield* Console.log(`${total!.toFixed(2).padStart(6)}  ${JSON.stringify(responses[i]!.slice(0, 20))}  ${shown}`)
  }
})

await Effect.runPromise(program.pipe(Effect.provide(Reward.layer(reward))))
