#!/bin/sh
# Make .venv with the Python given, or with the first that is new enough. Usage: venv.sh [PYTHON]
set -eu
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

die() { echo "$1" >&2; exit 1; }

# An environment that runs but has no pip, as `uv venv` makes it, is kept.
if [ -f .venv/pyvenv.cfg ] && .venv/bin/python -c "$new_enough" >/dev/null 2>&1; then
    .venv/bin/python -m ensurepip >/dev/null 2>&1 || die '.venv has no pip and cannot get it; `make venv-clean` removes .venv.'
    touch .venv/pyvenv.cfg
    exit 0
fi

if [ -n "${1:-}" ]; then
    "$1" -c "$new_enough" >/dev/null 2>&1 || die "PYTHON=$1 is not a Python 3.11 or newer."
else
    set -- python3 python3.13 python3.12 python3.11 python
fi
found=
for python; do
    if "$python" -c "$new_enough" >/dev/null 2>&1; then found=$python; break; fi
done
[ -n "$found" ] || die 'Python 3.11 or newer is needed and was not found; where is it? make PYTHON=/path/to/python ...'

echo "making .venv with $("$found" --version)"
if ! problem=$("$found" -m venv --clear .venv 2>&1); then
    rm -rf .venv
    echo "$problem" >&2
    die "$found cannot make a virtual environment; on Debian and Ubuntu, 'apt install python3-venv' mends that."
fi
