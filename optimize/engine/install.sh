#!/bin/sh
# Builds, verifies and measures the engine of this folder. Changes nothing outside it, needs no network.
set -eu
here=$(cd "$(dirname -- "$0")" && pwd)
yes=no

fail() { printf 'install.sh: %s\n' "$1" >&2; exit 2; }

for word in "$@"; do
    case $word in
        --yes) yes=yes ;;
        *) fail "unknown option $word; it takes --yes" ;;
    esac
done

printf 'In %s and nowhere else:\n\n' "$here"
cat "$here/plan.txt"

if [ "$yes" = no ]; then
    printf 'Go on? [y/N] '
    read -r answer || answer=
    case $answer in
        y | Y | yes) ;;
        *) echo; fail "nothing was done; answer y, or add --yes" ;;
    esac
fi

case $here in
    *:*) fail "$here has a colon in its name, which separates folders for Python; unpack with --into another folder" ;;
esac
python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "no $python here; type: sudo apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
    fail "$("$python" -V) is too old, 3.8 or later is needed; set PYTHON=/path/to/python3"
"$python" -c 'import numpy' 2>/dev/null ||
    fail "$python has no numpy; type: sudo apt-get install python3-numpy"
"$python" -c "import importlib, os; importlib.import_module(os.environ.get('EDGEAU_TENSORRT') or 'tensorrt')" 2>/dev/null ||
    fail "$python has no tensorrt; on a Jetson type: sudo apt-get install python3-libnvinfer (or nvidia-jetpack), and use the system's python3"

rm -rf "$here/lib"
for wheel in "$here"/*.whl; do
    "$python" -m zipfile -e "$wheel" "$here/lib" || fail "could not unpack the wheel (is the disk full?)"
done
PYTHONPATH="$here/lib${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    exec "$python" -m edgeau.optimize.engine.install "$here"
