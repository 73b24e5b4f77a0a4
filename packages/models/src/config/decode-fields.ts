import { Effect, Schema, SchemaIssue } from "effect"
import { ConfigInvalid } from "../errors.ts"

/** Decodes with every fault named by field; the first one is the error's field. */
export const decodeFields = <S extends Schema.ConstraintDecoder<unknown>>(
  file: string,
  prefix: string,
  schema: S,
  value: unknown
): Effect.Effect<S["Type"], ConfigInvalid> =>
  Schema.decodeUnknownEffect(schema)(value, { errors: "all" }).pipe(
    Effect.mapError(({ issue }) => {
      const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(issue)
      const paths = issues.map(({ path }) =>
        [prefix, ...(path ?? []).map(String)].filter((part) => part !== "").join(".")
      )
      const [first, ...others] = issues.map(({ message }, i) => (i === 0 ? message : `${paths[i]}: ${message}`))
      return new ConfigInvalid({
        file,
        field: paths[0] ?? prefix,
        reason: [first, ...others].join("; ")
      })
    })
  )
