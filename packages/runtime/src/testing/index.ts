export { backendSuite } from "./backend-suite.ts"
export { float32Backends } from "./float32-backends.ts"
