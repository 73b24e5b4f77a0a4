const scaled = (value: number, base: number, units: ReadonlyArray<string>): string => {
  const power = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log(Math.max(value, 1)) / Math.log(base))))
  return `${Number((value / base ** power).toPrecision(3))} ${units[power]}`
}

/** `1.24 G` */
export const countText = (value: number): string => scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"])

/** `1.5 GiB` */
export const byteText = (value: number): string => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
