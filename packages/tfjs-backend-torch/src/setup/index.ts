export { fillWhole, writable } from "./own-folder.ts"
export { systemRefusal } from "./setup-failure.ts"
