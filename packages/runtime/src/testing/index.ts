export { hasCuda } from "@plumbline/tfjs-backend-torch"
export { backendSuite } from "./backend-suite.ts"
export { bfloat16Backends, float32Backends } from "./backends.ts"
