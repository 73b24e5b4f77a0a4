export { fillWhole, writable } from "./own-folder.ts"
export { shortened, systemRefusal } from "./setup-failure.ts"
