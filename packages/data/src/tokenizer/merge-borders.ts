import { mergePairs, type ModelDefinition } from "./definition.ts"

/**
 * Cuts a word where no merge can ever join the two characters, which changes no result: what is merged on one side does not
 * depend on the other. Long texts without a pre-tokenizer fall into short words that the model's cache knows.
 */
export const mergeBorders = (model: ModelDefinition): ((word: string) => ReadonlyArray<string>) => {
  const plain = model.type === "BPE" && model.ignore_merges !== true
  if (!plain || model.end_of_word_suffix || model.continuing_subword_prefix) return (word) => [word]
  const joins = new Set(mergePairs(model).map(([left, right]) => lastCharacter(left) + firstCharacter(right)))
  return (word) => {
    const pieces: Array<string> = []
    let from = 0
    let at = 0
    let previous = ""
    for (const character of word) {
      if (at > 0 && !joins.has(previous + character)) {
        pieces.push(word.slice(from, at))
        from = at
      }
      at += character.length
      previous = character
    }
    pieces.push(word.slice(from))
    return pieces
  }
}

const firstCharacter = (token: string): string => String.fromCodePoint(token.codePointAt(0)!)
const lastCharacter = (token: string): string => Array.from(token.slice(-2)).at(-1)!
