import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, createReadStream, createWriteStream, existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"

/** How archives are compressed. */
export interface Compression {
  /** Of the file names. */
  readonly suffix: "xz" | "gz"
  /** 1 is the fastest, 9 the smallest. */
  readonly level: number
}

/** The smallest that this machine can make: gzip, where xz is missing, makes a bundle a third larger. */
export const smallest = (): Compression =>
  spawnSync("xz", ["--version"]).status === 0 ? { suffix: "xz", level: 6 } : { suffix: "gz", level: 9 }

/** Where archives are made, and where they go when they are whole. */
export interface Places {
  readonly scratch: string
  readonly folder: string
}

/** Compresses `source` as `name` plus the suffix. @returns the whole name */
const compress = async (source: string, name: string, places: Places, compression: Compression): Promise<string> => {
  const { level, suffix } = compression
  const archive = `${name}.${suffix}`
  const made = join(places.scratch, archive)
  if (suffix === "xz") execFileSync("sh", ["-c", `xz -T0 -${level} -c "$0" >"$1"`, source, made])
  else await pipeline(createReadStream(source), createGzip({ level }), createWriteStream(made))
  copyFileSync(made, join(places.folder, archive))
  return archive
}

/** Compresses the Node binary, unless the one of this version is there already: it takes a minute. */
export const packNode = async (binary: string, places: Places, compression: Compression): Promise<string> => {
  const version = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim()
  const name = `node-${version}-linux-x64`
  const archive = `${name}.${compression.suffix}`
  return existsSync(join(places.folder, archive)) ? archive : compress(binary, name, places, compression)
}

/** Packs the folder `app`; the name of the archive tells its content. */
export const packApp = async (app: string, places: Places, compression: Compression): Promise<string> => {
  const archive = join(places.scratch, "app.tar")
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
  execFileSync("tar", [...reproducible, "-C", app, "-cf", archive, "."])
  const digest = createHash("sha256").update(readFileSync(archive)).digest("hex").slice(0, 12)
  return compress(archive, `app-${digest}.tar`, places, compression)
}
