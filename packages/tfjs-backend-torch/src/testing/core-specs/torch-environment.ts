import { setTestEnvs } from "@tensorflow/tfjs-core/dist/jasmine_util.js"
import { registerTorchBackend } from "../../register.ts"
import type { TorchDevice } from "../../tensor-backend.ts"

// tfjs-core's specs ask for their environments while they are imported, so this is imported before them.
registerTorchBackend({ device: (process.env["CORE_SPECS_DEVICE"] ?? "cpu") as TorchDevice })
setTestEnvs([{ name: "torch", backendName: "torch", isDataSync: true }])
