import { fillWhole, folderOfPackage } from "@plumbline/tfjs-backend-torch/setup"
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { run, SetupFailure } from "./setup-failure.ts"

const TENSORFLOW = "2.21.0"

export const LIBRARIES = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]

/** Folder of a TensorFlow with headers and library: LIBTENSORFLOW, the active Python's, else a new CPU build in `folder`. */
export const findTensorflow = (folder: string, say: (line: string) => void): string => {
  const named = process.env["LIBTENSORFLOW"]
  // the binding looks there whatever folder it is run in
  if (named) return checked(resolve(named))
  const python = ["python3", "python"].find((name) => spawnSync(name, ["-c", ""]).status === 0)
  const active =
    python === undefined ? "" : run(python, ["-c", folderOfPackage("tensorflow")], "asking Python for TensorFlow")
  if (active !== "") return checked(active)
  const installed = join(folder, "tensorflow")
  const isWhole = () => missingPart(installed) === undefined
  fillWhole(folder, isWhole, (target) => install(target, folder, python, say))
  return checked(installed)
}

const ELSEWHERE = "Set LIBTENSORFLOW to a folder with them, as a Python's site-packages/tensorflow is"

const install = (target: string, folder: string, python: string | undefined, say: (line: string) => void): void => {
  if (python === undefined) {
    throw new SetupFailure(
      "no TensorFlow was found and no Python to install one with: set LIBTENSORFLOW to a folder with its headers and libraries"
    )
  }
  say(`no TensorFlow found; installing tensorflow-cpu ${TENSORFLOW} into ${folder}`)
  const quiet = ["--quiet", "--no-deps", "--retries", "0", "--disable-pip-version-check"]
  const what = `pip could not install tensorflow-cpu ${TENSORFLOW}`
  run(python, ["-m", "pip", "install", ...quiet, "--target", target, `tensorflow-cpu==${TENSORFLOW}`], what)
}

const missingPart = (folder: string): string | undefined =>
  ["include/tensorflow/c/c_api.h", ...LIBRARIES].find((part) => !existsSync(join(folder, part)))

const checked = (folder: string): string => {
  const missing = missingPart(folder)
  if (missing !== undefined) {
    throw new SetupFailure(`${folder} is no TensorFlow to build against: it lacks ${missing}. ${ELSEWHERE}`)
  }
  if (folder.includes(":")) {
    throw new SetupFailure(
      `${folder} cannot be linked to, as there is a colon in its path. Set LIBTENSORFLOW to a link to it that has none`
    )
  }
  return folder
}

export const versionOf = (folder: string): string => {
  const info = readdirSync(dirname(folder)).find((name) => /^tensorflow(_\w+)?-[\d.]+.*\.dist-info$/.test(name))
  return /-([\d.]+\d)/.exec(info ?? "")?.[1] ?? "of unknown version"
}
