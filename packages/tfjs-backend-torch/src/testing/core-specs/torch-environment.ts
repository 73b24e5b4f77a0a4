// strings run on the host, and a bundle finds no package at run time
// oxlint-disable-next-line import/no-unassigned-import -- registers tfjs's CPU backend
import "@tensorflow/tfjs-backend-cpu"
import { setTestEnvs } from "@tensorflow/tfjs-core/dist/jasmine_util.js"
import { registerTorchBackend } from "../../register.ts"
import type { TorchDevice } from "../../tensor-backend.ts"

// tfjs-core's specs ask for their environments while they are imported, so this is imported before them.
registerTorchBackend({ device: (process.env["CORE_SPECS_DEVICE"] ?? "cpu") as TorchDevice })
setTestEnvs([{ name: "torch", backendName: "torch", isDataSync: true }])
