export { objectiveLaws, type ObjectiveCase } from "./objective-laws.ts"
