import { enableCompileCache } from "node:module"

// Modules compile once per installation, not once per call; where the cache cannot be written this does nothing. This file is
// JavaScript because Node keeps what it makes of TypeScript in the same cache: no call but the first starts the compiler.
enableCompileCache()
await import("../src/main.ts")
