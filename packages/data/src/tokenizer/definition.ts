/** One entry of `added_tokens` in tokenizer.json: matched in the text before anything else. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Matches only where no word character touches it. */
  readonly single_word?: boolean
  /** Takes the whitespace before (after) it along. */
  readonly lstrip?: boolean
  readonly rstrip?: boolean
  /** Matched in the normalized text rather than in the original. */
  readonly normalized?: boolean
  readonly special?: boolean
}

/** A component of tokenizer.json: its type and that type's own settings. */
export interface Component {
  readonly type: string
  readonly [setting: string]: unknown
}

export interface ModelDefinition extends Component {
  readonly vocab: Readonly<Record<string, number>> | ReadonlyArray<readonly [string, number]>
  readonly merges?: ReadonlyArray<string | readonly [string, string]>
}

/** tokenizer.json of the Rust `tokenizers` library. */
export interface TokenizerDefinition {
  readonly version: string
  readonly truncation: unknown
  readonly padding: unknown
  readonly added_tokens: ReadonlyArray<AddedToken>
  readonly normalizer: Component | null
  readonly pre_tokenizer: Component | null
  readonly post_processor: Component | null
  readonly decoder: Component | null
  readonly model: ModelDefinition
}

/** The vocabulary as (token, id) pairs, whichever way the model writes it. */
export const vocabularyEntries = ({ vocab }: ModelDefinition): ReadonlyArray<readonly [string, number]> =>
  Array.isArray(vocab)
    ? (vocab as ReadonlyArray<readonly [string, number]>).map(([token], id) => [token, id] as const)
    : Object.entries(vocab as Readonly<Record<string, number>>)

/** Merge pairs, from either the "left right" or the ["left", "right"] notation. */
export const mergePairs = ({ merges = [] }: ModelDefinition): ReadonlyArray<readonly [string, string]> =>
  merges.map((merge) => {
    if (typeof merge !== "string") return merge
    const space = merge.indexOf(" ")
    return [merge.slice(0, space), merge.slice(space + 1)] as const
  })

/** A definition's components of one kind in order, sequences opened. */
export const flatten = (component: Component | null, members: string): ReadonlyArray<Component> => {
  if (component === null) return []
  if (component.type !== "Sequence") return [component]
  return (component[members] as ReadonlyArray<Component>).flatMap((member) => flatten(member, members))
}

/** Largest id of a definition, plus one. */
export const vocabularySize = ({ model, added_tokens }: TokenizerDefinition): number => {
  const ids = [...vocabularyEntries(model).map(([, id]) => id), ...added_tokens.map(({ id }) => id)]
  return ids.reduce((largest, id) => Math.max(largest, id), -1) + 1
}
