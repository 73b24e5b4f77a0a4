import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"

/**
 * HTTP for services that may think for long: an answer has no time to begin and none between its parts, which is for deadlines
 * and signs of life to say. `FetchHttpClient` gives up after five minutes. Each request has a connection of its own, so
 * none meets one that its server has just closed.
 */
export const patientHttp = NodeHttpClient.layerNodeHttp
