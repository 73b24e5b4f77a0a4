import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream, existsSync, readFileSync, renameSync } from "node:fs"
import { basename, join } from "node:path"
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

/** Compresses `source` as `target` plus the suffix. @returns its name */
const compress = async (source: string, target: string, { level, suffix }: Compression): Promise<string> => {
  const finished = `${target}.${suffix}`
  const unfinished = `${finished}.part`
  if (suffix === "xz") execFileSync("sh", ["-c", `xz -T0 -${level} -c "$0" >"$1"`, source, unfinished])
  else await pipeline(createReadStream(source), createGzip({ level }), createWriteStream(unfinished))
  renameSync(unfinished, finished)
  return basename(finished)
}

/** Compresses the Node binary into `folder`, unless the one of this version is there already: it takes a minute. */
export const packNode = async (binary: string, folder: string, compression: Compression): Promise<string> => {
  const version = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim()
  const target = join(folder, `node-${version}-linux-x64`)
  const finished = `${target}.${compression.suffix}`
  return existsSync(finished) ? basename(finished) : compress(binary, target, compression)
}

/** Packs the folder `app` into `folder`; the name of the archive tells its content. */
export const packApp = async (
  app: string,
  folder: string,
  scratch: string,
  compression: Compression
): Promise<string> => {
  const archive = join(scratch, "app.tar")
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
  execFileSync("tar", [...reproducible, "-C", app, "-cf", archive, "."])
  const digest = createHash("sha256").update(readFileSync(archive)).digest("hex").slice(0, 12)
  return compress(archive, join(folder, `app-${digest}.tar`), compression)
}
