import { expect, it } from "vitest"
import { hasMoreParts } from "./json-parts.ts"

it.each([
  ["{}", 1],
  ["[1, 2, 3]", 1],
  ['{"a": {"b": [[], {}, "c"]}}', 8],
  ['["{[", "\\"[", "\\\\", "[\\\\\\"{", ""]', 6],
  ['["🙂[", "é{"]', 3],
  ['"never closed [[[', 1],
  ['"never closed \\', 1],
  ["[[[[[[[[", 8]
])("counts in %s the texts, keys, lists and objects", (json, parts) => {
  const bytes = new TextEncoder().encode(json)
  expect([hasMoreParts(bytes, parts), hasMoreParts(bytes, parts - 1)]).toEqual([false, true])
})
