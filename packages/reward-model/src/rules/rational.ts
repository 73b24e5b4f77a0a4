/** An exact number: numerator and denominator, the latter positive. */
export interface Rational {
  readonly numerator: bigint
  readonly denominator: bigint
}

/** Beyond it, a power of ten is no answer but an attack on memory. */
const MOST_DIGITS = 400

const DECIMAL = String.raw`(?:\d+(?:,\d{3})*|\d*)(?:\.\d+)?`
const NUMBER = new RegExp(String.raw`^([-+]?)(${DECIMAL})(?:[eE]([-+]?\d+))?(?:\s*/\s*(\d+))?$`)

/**
 * The number that a text is: `1,234.50`, `$18`, `-3/4`, `2e3`, `18.`; undefined where it is none. Signs of currencies and
 * percent around it count for nothing.
 */
export const parseNumber = (text: string): Rational | undefined => {
  const bare = text
    .replaceAll("−", "-")
    .trim()
    .replace(/^([-+]?)\s*[$€£¥]\s*/, "$1")
    .replace(/(\\?%|\.)$/, "")
    .trim()
  const match = NUMBER.exec(bare)
  if (match === null) return undefined
  const [, sign, decimal = "", exponent = "0", divisor = "1"] = match
  const scaled = scale(decimal.replaceAll(",", ""), Number(exponent))
  if (scaled === undefined || BigInt(divisor) === 0n) return undefined
  const { denominator, numerator } = scaled
  return { numerator: sign === "-" ? -numerator : numerator, denominator: denominator * BigInt(divisor) }
}

export const equals = (a: Rational, b: Rational): boolean => a.numerator * b.denominator === b.numerator * a.denominator

/** Whether |a − b| ≤ tolerance. */
export const within = (a: Rational, b: Rational, tolerance: number): boolean =>
  tolerance === 0 ? equals(a, b) : Math.abs(toNumber(a) - toNumber(b)) <= tolerance

const toNumber = ({ denominator, numerator }: Rational): number => Number(numerator) / Number(denominator)

const scale = (decimal: string, exponent: number): Rational | undefined => {
  const [whole = "", fraction = ""] = decimal.split(".")
  const digits = whole + fraction
  if (digits === "" || digits.length > MOST_DIGITS || Math.abs(exponent) > MOST_DIGITS) return undefined
  const power = exponent - fraction.length
  const value = BigInt(digits)
  return power >= 0
    ? { numerator: value * 10n ** BigInt(power), denominator: 1n }
    : { numerator: value, denominator: 10n ** BigInt(-power) }
}
