#!/usr/bin/env bash
# Install MinkowskiEngine into the given Python: from the wheel cache, or built from source once.
# Never fails the set-up: without it the torch backend is used, and that is said.
# usage: install/minkowski.sh PYTHON
set -u
python=$1
version=0.5.4
tag=$("$python" -c 'import sys, torch; print(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}")')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anyscene/wheels/$tag
log=$cache/build.log
mkdir -p "$cache"

without() {
  printf '\n*** MinkowskiEngine is NOT available: %s\n' "$1"
  printf '*** The torch backend is used instead (same network, same weights). Everything else works.\n\n'
  exit 0
}

install_wheel() { "$python" -m pip install --quiet --no-deps --force-reinstall "$cache"/[Mm]inkowski[Ee]ngine-$version-*.whl; }

importable() {
  "$python" -c 'from anyscene.networks.sparse.minkowski import engine; engine()' 2>>"$log"
}

if ls "$cache"/[Mm]inkowski[Ee]ngine-$version-*.whl >/dev/null 2>&1; then
  echo "MinkowskiEngine $version: installing the wheel kept in $cache"
  if install_wheel && importable; then exit 0; fi
  echo "The kept wheel does not load; building it anew."
  rm -f "$cache"/[Mm]inkowski[Ee]ngine-$version-*.whl
fi

have_cblas() { echo '#include <cblas.h>' | ${CXX:-c++} -E -x c++ - >/dev/null 2>&1; }
command -v "${CXX:-c++}" >/dev/null || without "no C++ compiler (Debian/Ubuntu: apt-get install g++)"
echo '#include <Python.h>' | ${CXX:-c++} -E -x c++ -I"$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" - >/dev/null 2>&1 \
  || without "no Python headers (Debian/Ubuntu: apt-get install python3-dev)"
if ! have_cblas && command -v apt-get >/dev/null; then
  as_root=
  if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
  echo "A BLAS header is missing: trying to install libopenblas-dev"
  { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y libopenblas-dev; } >>"$log" 2>&1
fi
have_cblas || without "cblas.h is missing: install it (Debian/Ubuntu: sudo apt-get install libopenblas-dev) and run make again"

echo "MinkowskiEngine $version: building from source, once (5 to 11 minutes on two cores); log: $log"
"$python" -m pip install --quiet "setuptools<81" wheel ninja >>"$log" 2>&1 || without "its build tools cannot be installed, see $log"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
jobs=$(nproc); [ "$jobs" -gt 8 ] && jobs=8
# The CUDA sources do not compile against CUDA >= 12, and on GPUs the torch backend runs: build for the CPU only.
PATH=$(dirname "$python"):$PATH CUDA_VISIBLE_DEVICES="" MAX_JOBS=$jobs "$python" -m pip wheel --no-deps --no-build-isolation --use-pep517 \
  --config-settings="--global-option=--blas=openblas" --wheel-dir "$scratch" "MinkowskiEngine==$version" >>"$log" 2>&1 &
build=$!
started=$SECONDS
while kill -0 $build 2>/dev/null; do
  sleep 2
  elapsed=$((SECONDS - started))
  if [ $((elapsed % 30)) -lt 2 ]; then printf '  building MinkowskiEngine: %d:%02d of about 5-11 min\n' $((elapsed / 60)) $((elapsed % 60)); fi
done
wait $build || without "the build failed, see $log"
mv "$scratch"/[Mm]inkowski[Ee]ngine-$version-*.whl "$cache"/
install_wheel && importable || without "the built wheel does not load, see $log"
echo "MinkowskiEngine $version: built in $(((SECONDS - started) / 60)) min and installed"
