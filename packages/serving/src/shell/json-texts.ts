/** A list that is made when it is written, one element after the other; anew each time. */
export class LazyList<A> implements Iterable<A> {
  readonly #make: () => Iterable<A>

  constructor(make: () => Iterable<A>) {
    this.#make = make
  }

  [Symbol.iterator](): Iterator<A> {
    return this.#make()[Symbol.iterator]()
  }

  /** So that JSON.stringify writes the list. */
  toJSON(): ReadonlyArray<A> {
    return [...this]
  }
}

/** `source.map(f)`, made when it is written. */
export const lazyMap = <A, B>(source: Iterable<A>, f: (element: A) => B): LazyList<B> =>
  new LazyList(function* () {
    for (const element of source) yield f(element)
  })

/** Characters of small elements that are handed on together. */
const ENOUGH = 4096

/** What JSON.stringify writes, in parts: elements of lazy lists, and objects in which there are such lists, come one by one. */
export function* jsonTexts(value: unknown): Generator<string, void> {
  if (value instanceof LazyList) yield* listTexts(value)
  else if (holdsLazy(value)) yield* objectTexts(value)
  else yield JSON.stringify(value)
}

function* listTexts(list: LazyList<unknown>): Generator<string, void> {
  let text = "["
  let first = true
  for (const element of list) {
    if (!first) text += ","
    first = false
    if (element instanceof LazyList || holdsLazy(element)) {
      yield text
      text = ""
      yield* jsonTexts(element)
    } else text += JSON.stringify(element)
    if (text.length >= ENOUGH) {
      yield text
      text = ""
    }
  }
  yield `${text}]`
}

function* objectTexts(object: object): Generator<string, void> {
  let before = "{"
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue
    yield `${before}${JSON.stringify(key)}:`
    yield* jsonTexts(value)
    before = ","
  }
  yield before === "{" ? "{}" : "}"
}

const holdsLazy = (value: unknown): value is object => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false
  for (const key in value) {
    const inner = (value as Readonly<Record<string, unknown>>)[key]
    if (inner instanceof LazyList || holdsLazy(inner)) return true
  }
  return false
}
