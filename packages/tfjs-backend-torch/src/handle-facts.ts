import type { Handle } from "./addon.ts"

// What a handle tells of its tensor without asking the addon; see native/handle.h.

const SLOTS = 2 ** 24
const TYPES = 0b11111
const DENSE = 0b100000

/** The c10::ScalarType of its numbers. */
export const typeOf = (handle: Handle): number => (handle / SLOTS) & TYPES

/** Whether its numbers lie in the order of its axes without gaps. */
export const isDense = (handle: Handle): boolean => ((handle / SLOTS) & DENSE) !== 0
