export { limitFields, Limits } from "./shell/limits.ts"
export { type Listening, serveHttp, type ServeOptions, ServerUnavailable } from "./shell/serve-http.ts"
