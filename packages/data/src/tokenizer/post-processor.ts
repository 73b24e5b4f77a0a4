import { type Component, flatten } from "./definition.ts"

/** Ids that a post-processor puts before and after those of a text. */
export interface Surroundings {
  readonly prefix: ReadonlyArray<number>
  readonly suffix: ReadonlyArray<number>
}

type TemplateItem = { readonly SpecialToken: { readonly id: string } } | { readonly Sequence: { readonly id: string } }

/** @throws Error naming a type, or a template, that is not supported */
export const surroundingsOf = (component: Component | null): Surroundings =>
  flatten(component, "processors").reduce<Surroundings>(
    (inner, step) => {
      const outer = stepSurroundings(step)
      return { prefix: [...outer.prefix, ...inner.prefix], suffix: [...inner.suffix, ...outer.suffix] }
    },
    { prefix: [], suffix: [] }
  )

const stepSurroundings = (step: Component): Surroundings => {
  switch (step.type) {
    case "ByteLevel": // moves offsets only
      return { prefix: [], suffix: [] }
    case "TemplateProcessing":
      return templateSurroundings(step)
    case "BertProcessing":
    case "RobertaProcessing": {
      const [cls, sep] = [step.cls, step.sep] as ReadonlyArray<readonly [string, number]>
      return { prefix: [cls![1]], suffix: [sep![1]] }
    }
    default:
      throw new Error(`post-processor ${step.type} is not supported`)
  }
}

const templateSurroundings = ({ single, special_tokens }: Component): Surroundings => {
  const items = single as ReadonlyArray<TemplateItem>
  const specials = special_tokens as Readonly<Record<string, { readonly ids: ReadonlyArray<number> }>>
  const text = items.findIndex((item) => "Sequence" in item)
  const ids = (item: TemplateItem): ReadonlyArray<number> => {
    if ("Sequence" in item) throw new Error("a template that repeats the text is not supported")
    return specials[item.SpecialToken.id]!.ids
  }
  if (text === -1) throw new Error("a template without the text is not supported")
  return { prefix: items.slice(0, text).flatMap(ids), suffix: items.slice(text + 1).flatMap(ids) }
}
