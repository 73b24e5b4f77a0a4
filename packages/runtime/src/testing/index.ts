export { backendSuite } from "./backend-suite.ts"
