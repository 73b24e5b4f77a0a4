import { Schema } from "effect"
import type { RawRow } from "../files/read-rows.ts"
import { decodeRow, form, originOf } from "../records/forms.ts"
import type { Message, Origin } from "../records/records.ts"

/** A message of a conversation tree. */
export interface TreeMessage {
  readonly message: Message
  /** 0 is the best of its siblings. */
  readonly rank: number | undefined
  readonly usable: boolean
  /** Labels of reviewers, each in [0, 1]. */
  readonly labels: Readonly<Record<string, number>>
  readonly replies: ReadonlyArray<TreeMessage>
}

export interface Tree {
  readonly origin: Origin
  readonly root: TreeMessage
}

const NamedLabels = Schema.Struct({ name: Schema.Array(Schema.String), value: Schema.Array(Schema.Finite) })
const KeyedLabels = Schema.Record(Schema.String, Schema.Struct({ value: Schema.Finite }))
const Labels = Schema.Union([NamedLabels, KeyedLabels])

const needed = { text: Schema.String, role: Schema.Literals(["prompter", "assistant"]) } as const
const known = { deleted: Schema.Boolean, review_result: Schema.Boolean, rank: Schema.Finite, labels: Labels } as const

interface RawNode {
  readonly text: string
  readonly role: "prompter" | "assistant"
  readonly deleted?: boolean | null
  readonly review_result?: boolean | null
  readonly rank?: number | null
  readonly labels?: typeof Labels.Type | null
}

interface NestedNode extends RawNode {
  readonly replies?: ReadonlyArray<NestedNode>
}

const nullable = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Nested: Schema.Codec<NestedNode, unknown> = Schema.Struct({
  ...needed,
  deleted: nullable(known.deleted),
  review_result: nullable(known.review_result),
  rank: nullable(known.rank),
  labels: nullable(known.labels),
  replies: Schema.optionalKey(Schema.Array(Schema.suspend(() => Nested)))
}) as unknown as Schema.Codec<NestedNode, unknown>

const treeRow = form({ prompt: Nested }, {}, ({ prompt }, row) => ({ origin: originOf(row), nested: prompt }))

const flatRow = form(
  { message_id: Schema.String, ...needed },
  { parent_id: Schema.String, ...known },
  (values, row) => ({
    ...(values as unknown as RawNode & { readonly message_id: string; readonly parent_id?: string }),
    origin: originOf(row)
  })
)

/** The trees of a file: nested (`.trees.jsonl`), or a message a row that names its parent (`.messages.jsonl`). */
export const conversationTrees = (rows: ReadonlyArray<RawRow>): ReadonlyArray<Tree> => {
  const first = rows[0]?.value
  return first !== undefined && "prompt" in first ? rows.map(nestedTree) : flatTrees(rows)
}

const nestedTree = (row: RawRow): Tree => {
  const { nested, origin } = decodeRow([treeRow], row)
  return { origin, root: fromNested(nested) }
}

const fromNested = (nested: NestedNode): TreeMessage => treeMessage(nested, (nested.replies ?? []).map(fromNested))

const flatTrees = (rows: ReadonlyArray<RawRow>): ReadonlyArray<Tree> => {
  const all = rows.map((row) => decodeRow([flatRow], row))
  const children = Map.groupBy(all, ({ parent_id }) => parent_id)
  const grow = (message: (typeof all)[number]): TreeMessage =>
    treeMessage(message, (children.get(message.message_id) ?? []).map(grow))
  return (children.get(undefined) ?? []).map((root) => ({ origin: root.origin, root: grow(root) }))
}

const treeMessage = (raw: RawNode, replies: ReadonlyArray<TreeMessage>): TreeMessage => ({
  message: { role: raw.role === "prompter" ? "user" : "assistant", content: raw.text },
  rank: raw.rank ?? undefined,
  usable: raw.deleted !== true && raw.review_result !== false && raw.text.trim() !== "",
  labels: labelsOf(raw.labels ?? {}),
  replies
})

const labelsOf = (labels: typeof Labels.Type): Readonly<Record<string, number>> =>
  Array.isArray(labels["name"])
    ? Object.fromEntries((labels as typeof NamedLabels.Type).name.map((name, i) => [name, valueAt(labels, i)]))
    : Object.fromEntries(Object.entries(labels as typeof KeyedLabels.Type).map(([name, { value }]) => [name, value]))

const valueAt = (labels: typeof Labels.Type, i: number): number => (labels as typeof NamedLabels.Type).value[i]!
