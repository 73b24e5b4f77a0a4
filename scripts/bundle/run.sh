#!/bin/sh
# Runs plumb from this folder, on Linux x64, without npm or a network:
#
#   sh run.sh COMMAND [option…]     any plumb command but `run`
#   sh run.sh setup                 builds the torch backend's addon again
#
# Node and the program are unpacked into a cache folder on first use. Where LIBTORCH is set or python3 has a torch, the
# addon is built against it with g++ (CXX), once for each torch; where that fails, plumb computes with WebAssembly.
set -eu

fail() {
  echo "run.sh: $1" >&2
  exit "${2:-1}"
}

[ "$(uname -sm)" = "Linux x86_64" ] || fail "this bundle is for Linux x86_64, not for $(uname -sm)"
self=$(readlink -f "$0")
here=$(dirname "$self")

if [ "${1:-}" = run ]; then
  fail "a recipe imports Plumbline's packages, which this bundle does not hold apart: run it from the repository" 2
fi

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/plumbline
if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
  cache=${TMPDIR:-/tmp}/plumbline-$(id -u)
  mkdir -p "$cache" || fail "neither the home folder nor ${TMPDIR:-/tmp} can be written to; set XDG_CACHE_HOME to a folder that can"
  [ -O "$cache" ] || fail "$cache belongs to somebody else; set XDG_CACHE_HOME to a folder of your own"
fi

# Writes what a compressed file holds to standard output.
unpacked() {
  case $1 in
    *.gz) gzip -dc "$1" ;;
    *)
      if command -v xz >/dev/null 2>&1; then
        xz -dc "$1"
      elif command -v python3 >/dev/null 2>&1; then
        python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
      else
        fail "unpacking needs xz or python3; there is neither"
      fi
      ;;
  esac
}

# The one archive of that name.
packed() {
  set -- "$here/$1"-*
  [ $# -eq 1 ] && [ -f "$1" ] || fail "$here should hold one ${1##*/}; copy the whole bundle there anew"
  echo "$1"
}
packed_node=$(packed node)
packed_app=$(packed app)
node_name=$(basename "${packed_node%.*}")
app_name=$(basename "${packed_app%.tar.*}")
node=$cache/$node_name/node
app=$cache/$app_name

# Another process may unpack the same at the same time: each into a folder of its own, and the first one counts.
settle() {
  mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ] || fail "cannot write $2"
  rm -rf "$1"
}
own_part() {
  # a process of this number may have been killed here
  rm -rf "$cache/part-$$-$1"
  mkdir "$cache/part-$$-$1" || fail "cannot write $cache"
  echo "$cache/part-$$-$1"
}
trap 'rm -rf "$cache/part-$$-"*' EXIT
trap 'exit 130' HUP INT TERM
if [ ! -x "$node" ]; then
  part=$(own_part node)
  unpacked "$packed_node" >"$part/node" || fail "cannot unpack $packed_node into $cache"
  chmod +x "$part/node"
  settle "$part" "$cache/$node_name"
fi
torch=$cache/torch
if [ ! -d "$app" ]; then
  part=$(own_part app)
  mkdir -p "$torch"
  unpacked "$packed_app" | tar -xf - -C "$part" || fail "cannot unpack $packed_app into $cache"
  ln -s ../torch "$part/.torch"
  settle "$part" "$app"
fi
trap - EXIT HUP INT TERM

# a folder named torch where the command is run is none of Python's
find_torch='import sys; sys.path[:] = filter(None, sys.path); import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")'
torch_folder() {
  if [ -n "${LIBTORCH:-}" ]; then
    echo "$LIBTORCH"
  else
    python3 -c "$find_torch" 2>/dev/null || python -c "$find_torch" 2>/dev/null || true
  fi
}

# The addon of this torch and this program is ready, or its build is known to fail.
build_addon() {
  found=$(torch_folder)
  if [ -z "$found" ]; then
    [ "$1" = always ] && fail "no torch to build against: LIBTORCH is not set and python3 has none"
    return 0
  fi
  stamp=$(
    { echo "$app_name $found"; cat "$found/version.py" "$found/build-version" 2>/dev/null || true; } | cksum
  )
  if [ "$1" = needed ]; then
    [ "$stamp" = "$(cat "$torch/built" 2>/dev/null)" ] && [ -f "$torch/addon.json" ] && return 0
    if [ "$stamp" = "$(cat "$torch/failed" 2>/dev/null)" ]; then
      echo "run.sh: the addon could not be built against $found before; sh run.sh setup says why" >&2
      return 0
    fi
  fi
  status=0
  "$node" "$app/setup-torch.js" >&2 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "$stamp" >"$torch/built"
    rm -f "$torch/failed"
  elif [ "$status" -lt 128 ]; then
    # one that was killed may be built another time
    echo "$stamp" >"$torch/failed"
  fi
  return "$status"
}

if [ "${1:-}" = setup ]; then
  build_addon always
  exit
fi
case " $* " in
  *" --backend wasm "* | *" --backend=wasm "* | *" --backend cpu "* | *" --backend=cpu "*) ;;
  "  " | *" --help "* | *" -h "* | *" --version "*) ;;
  *) build_addon needed || true ;;
esac
exec "$node" "$app/main.js" "$@"
