import { HttpServerResponse } from "effect/http"
import { errorBody, type RequestRefused } from "./request-refused.ts"

export const errorAnswer = (refused: RequestRefused): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(errorBody(refused), { status: refused.status, headers: refused.headers ?? {} })
