import { attempt, type DataError } from "../errors.ts"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { assistant, type ConversionTarget, type Converted, user } from "./converter.ts"
import { converters } from "./converters.ts"

// Rows are of the form in which each data set is published; texts are made up.

const converted = (
  name: string,
  target: ConversionTarget,
  ...rows: ReadonlyArray<Readonly<Record<string, unknown>>>
) => {
  const conversion = converters.find((converter) => converter.name === name)!.makes[target]!
  return attempt((): Converted => conversion(rows.map((value, i) => ({ file: "rows.jsonl", line: i + 1, value }))))
}
const rowsOf = (...args: Parameters<typeof converted>) => Effect.runSync(converted(...args)).rows
const reasonsOf = (...args: Parameters<typeof converted>) =>
  Effect.runSync(converted(...args)).leftOut.map(({ origin, reason }) => `${origin.line}: ${reason}`)
const failure = (...args: Parameters<typeof converted>): DataError => Effect.runSync(Effect.flip(converted(...args)))

const grades = (helpfulness: number) => ({ helpfulness, correctness: 3, coherence: 4, complexity: 1, verbosity: 2 })

describe("helpsteer and helpsteer2", () => {
  const turns = "Hello\n<extra_id_1>Assistant\nHi! How can I help?\n<extra_id_1>User\nCount to two."
  const rows = [
    { prompt: turns, response: "1 2", ...grades(4) },
    { prompt: turns, response: "2 1", ...grades(1) },
    { prompt: "Alone?", response: "Yes", ...grades(3) }
  ]
  const prompt = [user("Hello"), assistant("Hi! How can I help?"), user("Count to two.")]

  it.each(["helpsteer", "helpsteer2"])("%s: a response and its grades, the prompt's turns apart", (name) => {
    expect(rowsOf(name, "attributes", ...rows)[1]).toEqual({ prompt, completion: [assistant("2 1")], ...grades(1) })
  })

  it("pair the most helpful response to a prompt with the least helpful one", () => {
    expect(rowsOf("helpsteer2", "preferences", ...rows)).toEqual([
      { prompt, chosen: [assistant("1 2")], rejected: [assistant("2 1")], chosen_reward: 4, rejected_reward: 1 }
    ])
    expect(reasonsOf("helpsteer2", "preferences", ...rows)).toEqual(["3: fewer than two responses"])
    const tie = rows.slice(0, 2).map((row) => ({ ...row, helpfulness: 2 }))
    expect(reasonsOf("helpsteer2", "preferences", ...tie)).toEqual(["1: all responses are equally good"])
  })

  it("name the row and the field that is not there", () => {
    const { message } = failure("helpsteer", "attributes", rows[0]!, { prompt: "a", response: "b", helpfulness: 1 })
    expect(message).toMatch(/^rows\.jsonl, line 2: field "correctness": missing/)
  })
})

describe("helpsteer2-preference and helpsteer3", () => {
  const pair = (preference_strength: number) => ({
    split: "train",
    prompt: "Which?",
    response_1: "first",
    response_2: "second",
    preference_strength,
    preference_statement: "…",
    preference_elaboration: "…"
  })

  it.each([
    [-3, "first", "second"],
    [1, "second", "first"]
  ])(
    "a strength of %d chooses the %s response, and its size is the gap of the rewards",
    (strength, chosen, rejected) => {
      const sides = { chosen: [assistant(chosen)], rejected: [assistant(rejected)] }
      expect(rowsOf("helpsteer2-preference", "preferences", pair(strength))).toEqual([
        { prompt: [user("Which?")], ...sides, chosen_reward: Math.abs(strength), rejected_reward: 0 }
      ])
      const third = {
        domain: "general",
        language: "english",
        context: [user("Which?")],
        response1: "first",
        response2: "second",
        overall_preference: strength,
        individual_preference: [{ score: strength, reasoning: "…", feedback_1: "…", feedback_2: "…" }]
      }
      expect(rowsOf("helpsteer3", "preferences", third)).toEqual([
        { prompt: [user("Which?")], ...sides, chosen_reward: Math.abs(strength), rejected_reward: 0 }
      ])
    }
  )

  it("ties are left out, edits are better than what was edited", () => {
    expect(reasonsOf("helpsteer2-preference", "preferences", pair(0))).toEqual(["1: both responses are equally good"])
    const edit = { context: [user("q")], original_response: "rough", edited_response: "fine", change_summary: "…" }
    const quality = { context: [user("q")], good_edited_response: "good", bad_edited_response: "bad", feedback: [] }
    expect(rowsOf("helpsteer3", "preferences", edit, quality)).toEqual([
      { prompt: [user("q")], chosen: [assistant("fine")], rejected: [assistant("rough")] },
      { prompt: [user("q")], chosen: [assistant("good")], rejected: [assistant("bad")] }
    ])
  })
})

describe("ultrafeedback", () => {
  const rated = (response: string, ...ratings: ReadonlyArray<string>) => ({
    response,
    model: "m",
    overall_score: 10,
    annotations: Object.fromEntries(
      ratings.map((Rating, i) => [["helpfulness", "honesty", "truthfulness"][i]!, { Rating, Rationale: "…" }])
    )
  })

  it("original: the mean of the ratings decides, not the overall score; N/A counts nothing", () => {
    const row = {
      source: "evol_instruct",
      instruction: "Ask",
      completions: [
        rated("b", "3", "4", "N/A"),
        rated("a", "5", "5", "5"),
        rated("c", "1", "2", "3"),
        rated("d", "N/A")
      ]
    }
    expect(rowsOf("ultrafeedback", "preferences", row)).toEqual([
      {
        prompt: [user("Ask")],
        chosen: [assistant("a")],
        rejected: [assistant("c")],
        chosen_reward: 5,
        rejected_reward: 2
      }
    ])
  })

  it("binarized: whole chats and their scores", () => {
    const row = {
      prompt: "Ask",
      prompt_id: "x",
      chosen: [user("Ask"), assistant("a")],
      rejected: [user("Ask"), assistant("b")],
      messages: [user("Ask"), assistant("a")],
      score_chosen: 8.5,
      score_rejected: 6
    }
    expect(rowsOf("ultrafeedback", "preferences", row)).toEqual([
      {
        prompt: [user("Ask")],
        chosen: [assistant("a")],
        rejected: [assistant("b")],
        chosen_reward: 8.5,
        rejected_reward: 6
      }
    ])
    const same = { ...row, rejected: row.chosen }
    expect(reasonsOf("ultrafeedback", "preferences", same)).toEqual(["1: both responses are the same"])
  })
})

describe("anthropic-hh", () => {
  const start = "\n\nHuman: How are\n\nyou?\n\nAssistant: Well.\n\nHuman: Sing"

  it("parts the turns, whose texts may have blank lines", () => {
    const row = { chosen: `${start}\n\nAssistant: La la`, rejected: `${start}\n\nAssistant: No` }
    expect(rowsOf("anthropic-hh", "preferences", row)).toEqual([
      {
        prompt: [user("How are\n\nyou?"), assistant("Well."), user("Sing")],
        chosen: [assistant("La la")],
        rejected: [assistant("No")]
      }
    ])
  })

  it("leaves out pairs that are none", () => {
    const whole = `${start}\n\nAssistant: La la`
    expect(
      reasonsOf(
        "anthropic-hh",
        "preferences",
        { chosen: whole, rejected: whole },
        { chosen: whole, rejected: `${start}\n\nAssistant:` },
        { chosen: whole, rejected: "\n\nHuman: Other\n\nAssistant: No" }
      )
    ).toEqual([
      "1: both sides are the same",
      "2: the sides do not differ in one last answer alone",
      "3: the sides have no turn in common"
    ])
  })
})

describe("nectar", () => {
  it("pairs rank 1 with the last rank", () => {
    const answer = (text: string, rank: number) => ({ answer: text, model: "m", rank })
    const row = {
      prompt: "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Bye\n\nAssistant: ",
      answers: [answer("second", 2), answer("last", 7), answer("first", 1)],
      turns: 2
    }
    expect(rowsOf("nectar", "preferences", row)).toEqual([
      {
        prompt: [user("Hi"), assistant("Yes?"), user("Bye")],
        chosen: [assistant("first")],
        rejected: [assistant("last")]
      }
    ])
  })
})

describe("alpaca", () => {
  it("puts the input under the instruction, where there is one", () => {
    const rows = [
      { instruction: "Add.", input: "1, 2", output: "3", text: "Below is …" },
      { instruction: "Greet.", input: "", output: "Hi" },
      { instruction: "Say nothing.", input: "", output: " " },
      { id: "seed_task_0", instruction: "Add.", instances: [{ input: "2, 2", output: "4" }], is_classification: false }
    ]
    expect(rowsOf("alpaca", "demonstrations", ...rows)).toEqual([
      { messages: [user("Add.\n\n1, 2"), assistant("3")] },
      { messages: [user("Greet."), assistant("Hi")] },
      { messages: [user("Add.\n\n2, 2"), assistant("4")] }
    ])
    expect(reasonsOf("alpaca", "demonstrations", ...rows)).toEqual(["3: the output is empty"])
  })
})

describe("sharegpt", () => {
  const from = (...turns: ReadonlyArray<readonly [string, string]>) => ({
    id: "x",
    conversations: turns.map(([role, value]) => ({ from: role, value }))
  })

  it("begins at the first question and ends with the last answer", () => {
    const row = from(["system", "Be brief."], ["gpt", "(scrap)"], ["human", "Hi"], ["gpt", "Yo"], ["human", "And?"])
    expect(rowsOf("sharegpt", "demonstrations", row)).toEqual([
      { messages: [{ role: "system", content: "Be brief." }, user("Hi"), assistant("Yo")] }
    ])
  })

  it("leaves out chats that cannot be trained on", () => {
    expect(
      reasonsOf(
        "sharegpt",
        "demonstrations",
        from(["human", "Hi"]),
        from(["human", "Hi"], ["gpt", ""]),
        from(["human", "Hi"], ["human", "Hello?"], ["gpt", "Yo"]),
        from(["human", "Hi"], ["tool", "{}"], ["gpt", "Yo"])
      )
    ).toEqual([
      "1: no answer of the assistant after a question",
      "2: a turn is empty",
      "3: the sides do not take turns",
      '4: nobody knows the role "tool"'
    ])
  })
})

describe("open-assistant", () => {
  const labels = {
    quality: { value: 0.75, count: 3 },
    toxicity: { value: 0.1, count: 3 },
    spam: { value: 0, count: 3 }
  }
  const tree = {
    message_tree_id: "q",
    tree_state: "ready_for_export",
    prompt: {
      message_id: "q",
      text: "Q",
      role: "prompter",
      replies: [
        { message_id: "b", parent_id: "q", text: "worse", role: "assistant", rank: 1, labels, replies: [] },
        {
          message_id: "a",
          parent_id: "q",
          text: "better",
          role: "assistant",
          rank: 0,
          labels,
          replies: [
            {
              message_id: "c",
              text: "more?",
              role: "prompter",
              replies: [{ message_id: "d", text: "yes", role: "assistant", rank: null, replies: [] }]
            }
          ]
        },
        { message_id: "e", text: "gone", role: "assistant", rank: 2, deleted: true, replies: [] },
        { message_id: "f", text: "refused", role: "assistant", rank: 3, review_result: false, replies: [] }
      ]
    }
  }
  const flat = [
    { message_id: "q", parent_id: null, text: "Q", role: "prompter", rank: null, deleted: false, message_tree_id: "q" },
    {
      message_id: "b",
      parent_id: "q",
      text: "worse",
      role: "assistant",
      rank: 1,
      labels: { name: ["quality", "toxicity", "spam"], value: [0.75, 0.1, 0], count: [3, 3, 3] }
    },
    { message_id: "a", parent_id: "q", text: "better", role: "assistant", rank: 0, labels: null },
    { message_id: "c", parent_id: "a", text: "more?", role: "prompter" },
    { message_id: "d", parent_id: "c", text: "yes", role: "assistant" }
  ]
  const later = [user("Q"), assistant("better"), user("more?")]

  it.each([
    ["nested", [tree]],
    ["flat", flat]
  ])("%s: the best answer to every question is imitated, the best is paired with the worst", (_, rows) => {
    expect(rowsOf("open-assistant", "demonstrations", ...rows)).toEqual([
      { prompt: [user("Q")], completion: [assistant("better")] },
      { prompt: later, completion: [assistant("yes")] }
    ])
    expect(rowsOf("open-assistant", "preferences", ...rows)).toEqual([
      { prompt: [user("Q")], chosen: [assistant("better")], rejected: [assistant("worse")] }
    ])
  })

  it("labels become grades from 0 to 4", () => {
    const worse = { prompt: [user("Q")], completion: [assistant("worse")], quality: 3, toxicity: 0 }
    expect(rowsOf("open-assistant", "attributes", tree)[0]).toEqual(worse)
    expect(rowsOf("open-assistant", "attributes", ...flat)).toEqual([worse])
  })

  it("names the row that is no message", () => {
    expect(failure("open-assistant", "demonstrations", flat[0]!, { message_id: "x", text: "t" }).message).toMatch(
      /line 2: field "role": missing/
    )
  })
})
