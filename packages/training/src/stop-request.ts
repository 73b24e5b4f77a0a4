import { Context } from "effect"

/** Asked between steps: true ends the run cleanly after a checkpoint. The command line sets it on a signal. */
export const StopRequest = Context.Reference<() => boolean>("@plumbline/training/StopRequest", {
  defaultValue: () => () => false
})
