import { connect, type Socket } from "node:net"

export interface RawAnswer {
  /** 0 where the server closed without an answer. */
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export const openSocket = (url: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1")
    socket.once("connect", () => resolve(socket)).once("error", reject)
  })

/** Everything that the server sends until it closes the connection. */
export const untilClosed = (socket: Socket): Promise<RawAnswer> =>
  new Promise((resolve) => {
    let text = ""
    socket.on("data", (chunk) => (text += chunk.toString("latin1")))
    socket.on("error", () => {})
    socket.on("close", () => resolve(parse(text)))
  })

/** Sends these bytes, whatever they are, and reads until the server closes. */
export const rawRequest = async (url: string, ...parts: ReadonlyArray<string>): Promise<RawAnswer> => {
  const socket = await openSocket(url)
  const answer = untilClosed(socket)
  for (const part of parts) socket.write(part)
  return answer
}

const parse = (text: string): RawAnswer => {
  const [head = "", ...rest] = text.split("\r\n\r\n")
  const [line = "", ...fields] = head.split("\r\n")
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(line)?.[1] ?? 0),
    headers: Object.fromEntries(
      fields.map((field) => [field.split(":")[0]!.toLowerCase(), field.replace(/^.*?: ?/, "")])
    ),
    body: rest.join("\r\n\r\n")
  }
}

/** The value of a sample on a page in Prometheus' text format; 0 where it is not there. */
export const metricValue = (page: string, sample: string): number =>
  Number(
    page
      .split("\n")
      .find((line) => line.startsWith(`${sample} `))
      ?.slice(sample.length + 1) ?? 0
  )

/** Asks until it is so; vitest's timeout ends it otherwise. */
export const eventually = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10))
}
