import type { TemplateVariables } from "@plumbline/data"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import { isObject } from "./decode-request.ts"

const MOST = 32

/** What every chat's template is given by the server itself. */
const OWN: ReadonlySet<string> = new Set(["messages", "add_generation_prompt", "tools", "documents"])

/** `chat_template_kwargs`: values of variables that the model's template reads, as `{ "enable_thinking": false }`. */
export const readVariables = (
  template: string | undefined,
  value: unknown
): TemplateVariables | undefined | RequestRefused => {
  if (value === undefined) return undefined
  if (!isObject(value)) return badField(FIELD, "must be an object, values by variable")
  const names = Object.keys(value)
  if (names.length > MOST) return badField(FIELD, `has more than ${MOST} variables`)
  const own = names.find((name) => OWN.has(name))
  if (own !== undefined) return badField(place(own), "is not set by a client")
  const unread = names.find((name) => !/^[A-Za-z_]\w*$/.test(name) || !reads(template ?? "", name))
  return unread === undefined ? value : badField(place(unread), "the model's chat template reads no such variable")
}

const FIELD = "chat_template_kwargs"

const place = (name: string): string => `${FIELD}.${name.slice(0, 200)}`

/** Whether a variable of that name may be in a template. */
export const reads = (template: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(template)
