/**
 * Python that writes the folder of a package that it has, or nothing. A folder of that name where the command is run is none of
 * Python's.
 */
export const folderOfPackage = (name: string): string =>
  `import sys; sys.path[:] = filter(None, sys.path); import importlib.util as u; s = u.find_spec('${name}'); print(s.submodule_search_locations[0] if s else '')`
