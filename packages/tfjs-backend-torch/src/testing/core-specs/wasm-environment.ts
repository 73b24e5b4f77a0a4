import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm"
import { setTestEnvs } from "@tensorflow/tfjs-core/dist/jasmine_util.js"

setWasmPaths(process.env["CORE_SPECS_WASM"]!)
setTestEnvs([{ name: "wasm", backendName: "wasm", isDataSync: true }])
