import { setImmediate } from "node:timers"
import { type Addon, type Handle, loadAddon } from "./addon.ts"

/** Whether the end of this turn of the event loop is waited for. */
let isAwaited = false

/**
 * Frees what a handle holds before anything else is asked of the addon, whose next call sees to it, or at the end of this
 * turn of the event loop: a crossing for each would cost more than freeing it.
 */
export const free = (handle: Handle): void => {
  const addon = loadAddon()
  const { disposals } = addon
  const place = disposals[0]! + 1
  disposals[place] = handle
  disposals[0] = place
  if (place === disposals.length - 1) settle(addon)
  else if (!isAwaited) settleLater(addon)
}

const settle = (addon: Addon): void => addon.dispose([])

const settleLater = (addon: Addon): void => {
  isAwaited = true
  setImmediate(() => {
    isAwaited = false
    if (addon.disposals[0]! > 0) settle(addon)
  })
}
