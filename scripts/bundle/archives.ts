import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream, existsSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"

/** `xz` where the machine has it, else gzip, which makes the bundle a third larger. */
const suffix = spawnSync("xz", ["--version"]).status === 0 ? "xz" : "gz"

/** Compresses `source` as `target` plus the suffix of the method. @returns the name with its suffix */
const compress = async (source: string, target: string): Promise<string> => {
  const unfinished = `${target}.${suffix}.part`
  if (suffix === "xz") execFileSync("sh", ["-c", 'xz -T0 -6 -c "$0" >"$1"', source, unfinished])
  else await pipeline(createReadStream(source), createGzip({ level: 9 }), createWriteStream(unfinished))
  renameSync(unfinished, `${target}.${suffix}`)
  return `${target}.${suffix}`
}

/** Compresses the Node binary into `folder`, unless the one of this version is there already: it takes a minute. */
export const packNode = async (binary: string, folder: string): Promise<string> => {
  const version = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim()
  const target = join(folder, `node-${version}-linux-x64`)
  return existsSync(`${target}.${suffix}`) ? `${target}.${suffix}` : compress(binary, target)
}

/** Packs the folder `app` into `folder`; the name of the archive tells its content. */
export const packApp = async (app: string, folder: string, scratch: string): Promise<string> => {
  const archive = join(scratch, "app.tar")
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
  execFileSync("tar", [...reproducible, "-C", app, "-cf", archive, "."])
  const digest = createHash("sha256").update(readFileSync(archive)).digest("hex").slice(0, 12)
  return compress(archive, join(folder, `app-${digest}.tar`))
}
