import { ModelRuntime } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { Progress, RunContext } from "@plumbline/training"
import { Layer } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Where an example writes its run: a new temporary folder. */
export const output = join(mkdtempSync(join(tmpdir(), "plumbline-")), "run")

/** What `plumb` would provide: the backend, a store (in memory here), progress (silent here), the run's folder. */
export const services = Layer.mergeAll(
  ModelRuntime.layerWasm,
  RunStore.layerTest,
  Progress.layerSilent,
  RunContext.layer({ output, resume: false, invocation: { command: "example", options: {} } })
)
