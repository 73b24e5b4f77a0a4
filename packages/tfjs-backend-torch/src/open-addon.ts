import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { digestOfSources, NATIVE_SOURCES } from "./native-sources.ts"

/** No addon is built, it does not load, or it does not fit what it runs with. */
export class TorchUnavailable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = "TorchUnavailable"
  }
}

/** What an addon says of itself. */
interface Identity {
  /** Release of the headers it was compiled with. */
  readonly torchVersion?: unknown
  /** Release of the library that was loaded with it; empty where that does not say. */
  readonly libraryVersion?: unknown
  /** Digest of the sources it was compiled from. */
  readonly sources?: unknown
}

const AGAIN = "run: npm run setup:torch"

/**
 * Loads an addon and checks that it belongs here.
 *
 * @throws TorchUnavailable, in one line
 */
export const openAddon = (path: string, sources: string = NATIVE_SOURCES): object => {
  if (!existsSync(path)) throw new TorchUnavailable(`the torch addon ${path} is not there; ${AGAIN}`)
  const opened = load(path)
  const reason = misfit(opened, digestOfSources(sources))
  if (reason !== undefined) throw new TorchUnavailable(`the torch addon ${path} ${reason}; ${AGAIN}`)
  return opened
}

const load = (path: string): Identity => {
  waitBriefly()
  try {
    return createRequire(import.meta.url)(path) as Identity
  } catch (cause) {
    const reason = String((cause as Error).message)
      .replaceAll(/\s+/g, " ")
      .slice(0, 300)
    throw new TorchUnavailable(`the torch addon does not load (${reason}); ${AGAIN}`)
  }
}

/**
 * libtorch's threads wait for work in a busy loop, by default for milliseconds. Beside another process that computes they
 * then keep each other from running, and a step takes ten times as long; after about 20 µs they had better sleep.
 */
const waitBriefly = (): void => {
  if (process.env["OMP_WAIT_POLICY"] === undefined) process.env["GOMP_SPINCOUNT"] ??= "1000"
}

const misfit = ({ libraryVersion, sources, torchVersion }: Identity, expected: string | undefined) => {
  if (typeof torchVersion !== "string") return "is another module"
  if (expected !== undefined && sources !== expected) return "was built from other sources than are here now"
  if (libraryVersion === "" || libraryVersion === torchVersion) return undefined
  return `was built for torch ${torchVersion} but loads the library of torch ${String(libraryVersion)}`
}
