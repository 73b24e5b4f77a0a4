import type { RunRecord } from "@plumbline/store"
import { createHash } from "node:crypto"
import { relative } from "node:path"
import { type ShownStatus, statusOf } from "./run-status.ts"

/** A number with five significant digits, none of them a trailing zero. */
export const number = (value: number): string => String(Number(value.toPrecision(5)))

/** `2026-01-31 09:05`, local time. */
export const moment = (iso: string): string => {
  const date = new Date(iso)
  const two = (value: number) => String(value).padStart(2, "0")
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** `1h05m`, `2m09s`, `4.2s` */
export const duration = (seconds: number): string => {
  if (seconds < 60) return `${seconds.toFixed(1)}s`
  const minutes = Math.floor(seconds / 60)
  const two = (value: number) => String(value).padStart(2, "0")
  if (minutes < 60) return `${minutes}m${two(Math.floor(seconds % 60))}s`
  return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`
}

/** Relative to the working directory where the folder lies in it. */
export const shownPath = (folder: string): string => {
  const near = relative(process.cwd(), folder)
  return near === "" || near.startsWith("..") ? folder : near
}

/** sha256 of what the run was started with, keys sorted; the first 12 hexadecimal digits. */
export const configDigest = (config: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(sorted(config)))
    .digest("hex")
    .slice(0, 12)

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, field]) => [key, sorted(field)]))
}

/** A run as `--json` prints it. */
export const runJson = (run: RunRecord) => ({
  name: run.name,
  algorithm: run.algorithm,
  folder: run.folder,
  status: statusOf(run) satisfies ShownStatus,
  started_at: run.startedAt,
  ended_at: run.endedAt,
  last_step: run.lastStep,
  last_loss: run.lastLoss,
  error: run.error,
  config_digest: configDigest(run.config)
})
