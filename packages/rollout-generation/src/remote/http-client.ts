import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"

/**
 * HTTP for services that may think for long: an answer has no time to begin and none between its parts, which is for deadlines
 * and signs of life to say. `FetchHttpClient` gives up after five minutes.
 */
export const patientHttp = NodeHttpClient.layerUndiciOptions({ headersTimeout: 0, bodyTimeout: 0 })
