export interface Message {
  readonly role: string
  readonly content: string
}

/** Plain text, or a list of chat messages that a chat template renders. */
export type Conversation = string | ReadonlyArray<Message>

/** Where a record stood, so that later errors can name it. */
export interface Origin {
  readonly file: string
  /** From 1. */
  readonly line: number
}

export type SupervisedRecord = (
  | { readonly kind: "completion"; readonly prompt: Conversation; readonly completion: Conversation }
  | { readonly kind: "chat"; readonly messages: ReadonlyArray<Message> }
  | { readonly kind: "text"; readonly text: string }
) & {
  /** Other top-level numbers of the row, e.g. HelpSteer's helpfulness. */
  readonly attributes?: Readonly<Record<string, number>>
  readonly origin?: Origin
}

/** Prompt and both sides are of one kind: all strings or all message lists. */
export interface PreferenceRecord {
  readonly prompt: Conversation
  readonly chosen: Conversation
  readonly rejected: Conversation
  readonly chosenReward?: number
  readonly rejectedReward?: number
  /** How far apart the scores of the two are to be at least. */
  readonly margin?: number
  /** How much better the chosen side was judged, ≥ 0. */
  readonly strength?: number
  /** The part of a benchmark that the pair belongs to. */
  readonly subset?: string
  readonly origin?: Origin
}

/** A pair with a gold response to the same prompt, to be imitated. */
export interface TripleRecord extends PreferenceRecord {
  readonly gold: Conversation
}

/** A response judged on its own: `label` true = desirable. */
export interface UnpairedRecord {
  readonly prompt: Conversation
  readonly completion: Conversation
  readonly label: boolean
  readonly origin?: Origin
}

/** What is to be judged as a whole: a prompt with its response, a chat, a text or its token ids. */
export type JudgedRecord =
  SupervisedRecord | { readonly kind: "ids"; readonly ids: Int32Array; readonly origin?: Origin }

/** What is judged, with the grade of each attribute, [K] in the order asked for; NaN where the row has none. */
export interface GradedRecord {
  readonly judged: JudgedRecord
  readonly grades: Float32Array
  readonly origin?: Origin
}

/** A response in steps, each right, wrong or unlabelled. */
export interface StepwiseRecord {
  readonly prompt: string
  readonly steps: ReadonlyArray<string>
  readonly labels: ReadonlyArray<boolean | undefined>
  readonly origin?: Origin
}

export type PromptRecord = (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "chat"; readonly messages: ReadonlyArray<Message> }
  | { readonly kind: "ids"; readonly ids: Int32Array }
) & {
  /** The whole row, for rewards that need its answer. */
  readonly fields?: Readonly<Record<string, unknown>>
  readonly origin?: Origin
}
