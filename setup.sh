#!/bin/sh
# Set up .venv with fastnn built from this checkout: `sh setup.sh EXTRA`, EXTRA being demo, test,
# bench, dev or all. On Debian and Ubuntu, what the build needs of the system is installed first.
set -eu
cd "$(dirname "$0")"
extra=${1:-demo}
python=${PYTHON:-python3}

can_build() {
    command -v "${CC:-cc}" && "$python" -c '
import ensurepip, pathlib, sysconfig, venv
assert pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()'
} >/dev/null 2>&1

if ! can_build && command -v apt-get >/dev/null; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -q
    $as_root apt-get install -q -y gcc libc6-dev python3-dev python3-venv
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --disable-pip-version-check ".[$extra]"
