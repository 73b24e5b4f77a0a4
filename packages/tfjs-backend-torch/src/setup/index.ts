export { loadedFrom } from "./linked-folder.ts"
export { fillWhole, writable, writeRecord } from "./own-folder.ts"
export { folderOfPackage } from "./python-package.ts"
export { shortened, systemRefusal } from "./setup-failure.ts"
