/**
 * Linker flags by which the loader looks into `folder` first, whatever LD_LIBRARY_PATH says: for the library that was built
 * against. As two words each, since a path may have commas.
 */
export const loadedFrom = (folder: string): ReadonlyArray<string> => [
  "-Wl,--disable-new-dtags",
  "-Xlinker",
  "-rpath",
  "-Xlinker",
  folder
]
