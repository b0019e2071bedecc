#!/bin/sh
# Builds, verifies and measures the engine of this folder. Changes nothing outside it, needs no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
yes=no
for word in "$@"; do
    case $word in
        --yes) yes=yes ;;
        *) echo "install.sh: unknown option $word; it takes --yes" >&2; exit 2 ;;
    esac
done

fail() { echo "install.sh: $1" >&2; exit 2; }

cat <<PLAN
edgeau @EDGEAU@: @PACKAGE@ for @TARGET@

This will, inside $here and nowhere else:
  1. unpack edgeau's wheel into lib/ (no pip, no network)
  2. build an engine with this machine's TensorRT: @PRECISION@, batch @BATCH@@LADDER@
  3. @PARITY@
  4. @MEASURE@write engine, sidecar and report.json
It needs python3 (3.8 or later) with numpy and tensorrt, which come with JetPack. A build takes minutes.
PLAN

if [ "$yes" = no ]; then
    printf 'Go on? [y/N] '
    read -r answer || answer=
    case $answer in
        y | Y | yes) ;;
        *) echo; fail "nothing was done; answer y, or add --yes" ;;
    esac
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "no $python here; type: sudo apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
    fail "$("$python" -V) is too old, 3.8 or later is needed; set PYTHON=/path/to/python3"
"$python" -c 'import numpy' 2>/dev/null ||
    fail "$python has no numpy; type: sudo apt-get install python3-numpy"
"$python" -c "import importlib, os; importlib.import_module(os.environ.get('EDGEAU_TENSORRT') or 'tensorrt')" 2>/dev/null ||
    fail "$python has no tensorrt; on a Jetson type: sudo apt-get install python3-libnvinfer (or nvidia-jetpack), and use the system's python3"

rm -rf "$here/lib"
"$python" -m zipfile -e "$here/@WHEEL@" "$here/lib" || fail "could not unpack the wheel (is the disk full?)"
PYTHONPATH="$here/lib${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    exec "$python" -m edgeau.optimize.engine.install "$here"
