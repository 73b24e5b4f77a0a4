import { Effect, Schema } from "effect"

/**
 * A field with a default: used by recipes, decoded from configuration files, and shown as a flag with its
 * description and default on the command line.
 */
export const option = <S extends Schema.Top>(schema: S, value: S["Encoded"], description: string) =>
  annotated(schema, { description, default: value }).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(value) as Effect.Effect<S["Encoded"]>)
  )

/** A field that may be left out. */
export const optional = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(annotated(schema, { description }))

/** A field that must be given. */
export const needed = <S extends Schema.Top>(schema: S, description: string): S => annotated(schema, { description })

/** `learningRate` → `learning-rate` */
export const kebabCase = (field: string): string => field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** `learningRate` → `--learning-rate` */
export const flagName = (field: string): string => `--${kebabCase(field)}`

// Rebuild of a generic schema is the schema again, which the compiler cannot see
const annotated = <S extends Schema.Top>(
  schema: S,
  annotations: { readonly description: string; readonly default?: unknown }
): S => (schema as Schema.Top).annotate(annotations) as unknown as S

export const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
export const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
export const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))
export const NonNegativeInt = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
/** A share in [0, 1). */
export const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMaximum: true }))
