import { philoxStream, type RandomStream } from "@plumbline/runtime"

/** A prompt whose answer code can check. */
export interface Task {
  readonly kind: string
  readonly prompt: string
  readonly answer: string
}

export interface Demonstration {
  readonly prompt: string
  readonly completion: string
}

export interface Pair {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
}

export interface SmallTasksOptions {
  readonly seed: number
  readonly demonstrations: number
  readonly pairs: number
  /** Tasks, and pairs, whose prompts occur in nothing above. */
  readonly heldOut: number
}

export interface SmallTasks {
  readonly demonstrations: ReadonlyArray<Demonstration>
  readonly pairs: ReadonlyArray<Pair>
  readonly heldOutTasks: ReadonlyArray<Task>
  readonly heldOutPairs: ReadonlyArray<Pair>
}

/** Share of demonstrations with a wrong answer: people make mistakes. */
const WRONG = 0.3

const CONSONANTS = [..."bcdfghjklmnpqrstvwxz"]
const VOWELS = [..."aeiou"]
const ALPHABET = [..."abcdefghijklmnopqrstuvwxyz"]
const DIGITS = [...Array(10).keys()]
const WORDS = CONSONANTS.flatMap((first) =>
  VOWELS.flatMap((second) => CONSONANTS.map((third) => first + second + third))
)

/** A kind of task: everything it can be asked about, ways to ask, and the answer. */
interface Kind<Argument> {
  readonly name: string
  readonly arguments: ReadonlyArray<Argument>
  readonly phrasings: ReadonlyArray<(argument: Argument) => string>
  readonly answer: (argument: Argument) => string
}

const allTasks = <Argument>({ answer, arguments: all, name, phrasings }: Kind<Argument>): ReadonlyArray<Task> =>
  all.flatMap((argument) =>
    phrasings.map((phrase) => ({ kind: name, prompt: `${phrase(argument)}\n`, answer: answer(argument) }))
  )

const capitals = allTasks({
  name: "capitals",
  arguments: WORDS,
  phrasings: [(word) => `Capitals of ${word}`, (word) => `Shout ${word}`],
  answer: (word) => word.toUpperCase()
})

const reverse = allTasks({
  name: "reverse",
  arguments: WORDS,
  phrasings: [(word) => `Reverse ${word}`, (word) => `Backwards: ${word}`],
  answer: (word) => [...word].toReversed().join("")
})

const lastLetter = allTasks({
  name: "last letter",
  arguments: WORDS,
  phrasings: [(word) => `Last letter of ${word}`, (word) => `The end of ${word}`],
  answer: (word) => word.at(-1)!
})

const nextLetter = allTasks({
  name: "next letter",
  arguments: ALPHABET.slice(0, -1),
  phrasings: [
    (letter) => `What comes after ${letter}`,
    (letter) => `Letter after ${letter}`,
    (letter) => `Next letter to ${letter}`,
    (letter) => `What follows ${letter}`
  ],
  answer: (letter) => ALPHABET[ALPHABET.indexOf(letter) + 1]!
})

const sum = allTasks({
  name: "sum",
  arguments: DIGITS.flatMap((a) => DIGITS.slice(0, 10 - a).map((b) => [a, b] as const)),
  phrasings: [
    ([a, b]) => `Add ${a} + ${b}`,
    ([a, b]) => `Sum: ${a} + ${b}`,
    ([a, b]) => `How much is ${a} + ${b}`,
    ([a, b]) => `What is ${a} + ${b}`
  ],
  answer: ([a, b]) => String(a + b)
})

const KINDS = [capitals, reverse, lastLetter, nextLetter, sum]

/** An answer in the style that is preferred: a whole polite sentence. */
export const politely = (answer: string): string => `${answer} is the answer. Glad to help!`

const POLITE = /^(.*) is the answer\. Glad to help!$/

/** What a response says, and whether it says it politely. */
export const readResponse = (response: string): { readonly answer: string; readonly polite: boolean } => {
  const sentence = POLITE.exec(response)
  return { answer: sentence?.[1] ?? response, polite: sentence !== null }
}

/**
 * Tasks with demonstrations and preferences, a pure function of the options.
 *
 * Demonstrations are as people's are: some answers are wrong, half are curt, half polite. Of a pair, the chosen
 * response is right and polite; the rejected one is wrong, curt, or both.
 */
export const smallTasks = ({ demonstrations, heldOut, pairs, seed }: SmallTasksOptions): SmallTasks => {
  const random = philoxStream(seed, "small-tasks")
  const kinds = KINDS.map((tasks) => splitTasks(tasks, random.child(tasks[0]!.kind)))
  const draw = <A>(name: string, count: number, part: "train" | "heldOut", make: (task: Drawn) => A) =>
    Array.from({ length: count }, (_, i) => {
      const dice = random.child(`${name}/${i}`)
      const tasks = kinds[i % kinds.length]![part]
      const task = pick(tasks, dice.uniform(0))
      return make({ ...task, wrong: wrongAnswer(tasks, task, dice), first: dice.uniform(1), second: dice.uniform(2) })
    })
  return {
    demonstrations: draw("demonstration", demonstrations, "train", demonstration),
    pairs: draw("pair", pairs, "train", pair),
    heldOutTasks: draw("held-out task", heldOut, "heldOut", ({ answer, kind, prompt }) => ({ kind, prompt, answer })),
    heldOutPairs: draw("held-out pair", heldOut, "heldOut", pair)
  }
}

/** A task with what is needed to make data of it: a wrong answer and two uniform numbers. */
interface Drawn extends Task {
  readonly wrong: string
  readonly first: number
  readonly second: number
}

const demonstration = ({ answer, first, prompt, second, wrong }: Drawn): Demonstration => {
  const given = first < WRONG ? wrong : answer
  return { prompt, completion: second < 0.5 ? given : politely(given) }
}

const pair = ({ answer, first, prompt, wrong }: Drawn): Pair => {
  const rejected = [politely(wrong), answer, wrong][Math.floor(first * 3)]!
  return { prompt, chosen: politely(answer), rejected }
}

const pick = <A>(values: ReadonlyArray<A>, uniform: number): A => values[Math.floor(uniform * values.length)]!

/** The answer to another task of the same kind, when it is not right here too. */
const wrongAnswer = (tasks: ReadonlyArray<Task>, { answer }: Task, dice: RandomStream): string => {
  for (let i = 3; ; i++) {
    const other = pick(tasks, dice.uniform(i)).answer
    if (other !== answer) return other
  }
}

/** One task in eight is held out: its prompt is in no training data. */
const splitTasks = (tasks: ReadonlyArray<Task>, dice: RandomStream) => {
  const isHeldOut = tasks.map((_, i) => dice.uniform(i) < 1 / 8)
  return { train: tasks.filter((_, i) => !isHeldOut[i]), heldOut: tasks.filter((_, i) => isHeldOut[i]) }
}
