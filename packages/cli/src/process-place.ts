import { once } from "node:events"
import { createServer } from "node:net"

/** The variables by which a process of a run knows its place among them, and where they meet on this machine. */
export const placeOf = (rank: number, processes: number, port: number): Readonly<Record<string, string>> => ({
  RANK: String(rank),
  LOCAL_RANK: String(rank),
  WORLD_SIZE: String(processes),
  MASTER_ADDR: "127.0.0.1",
  MASTER_PORT: String(port)
})

/** A port of this machine that nobody listens on. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { readonly port: number }
  server.close()
  await once(server, "close")
  return port
}
