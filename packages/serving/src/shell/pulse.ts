import { Effect, type Scope } from "effect"
import { Worker } from "node:worker_threads"

/**
 * A thread that answers whoever asks it, also while the first one computes and answers nobody: so who waits for the
 * server can tell a busy process from one that is stopped, whatever it computes. Answers name its port.
 *
 * @param port 0 takes any free one
 * @returns its port; undefined where it could not listen
 */
export const pulse = (host: string, port: number): Effect.Effect<number | undefined, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const worker = new Worker(SOURCE, { eval: true, workerData: { host, port } })
      worker.unref()
      return worker
    }),
    (worker) => Effect.promise(() => worker.terminate())
  ).pipe(
    Effect.flatMap((worker) =>
      Effect.callback<number | undefined>((resume) => {
        worker.once("message", (found: number) => resume(Effect.succeed(found)))
        worker.once("error", () => resume(Effect.succeed(undefined)))
      })
    )
  )

// a text, so that it is there in a packed command line, too
const SOURCE = `
const { createServer } = require("node:http")
const { parentPort, workerData } = require("node:worker_threads")
const server = createServer({ headersTimeout: 2000, requestTimeout: 2000 }, (_, response) => {
  response.writeHead(200, { "content-type": "application/json", connection: "close" }).end('{"status":"alive"}')
})
server.maxConnections = 256
server.listen(workerData.port, workerData.host, () => parentPort.postMessage(server.address().port))
`
