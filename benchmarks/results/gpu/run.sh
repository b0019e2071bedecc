#!/usr/bin/env bash
# What only a GPU can show. A part that fails says so, and the next one runs.
#
#   python -m edgeau.benchmarks.studies.gpu.prepare build/gpu          # on a PC, with edgeau[train,optimize]
#   OUT=benchmarks/results/gpu bash benchmarks/results/gpu/run.sh      # on the machine with the GPU; or name the parts
#
# Needs there: Python 3.10 or newer with numpy, TensorRT, and cuda-python, pycuda or libcudart.
#   PYTHON           the interpreter (python3)
#   PACKAGES         what `prepare` made (build/gpu); engines are built into it
#   TACTIC_SOURCES   for a TensorRT without cuBLAS and cuDNN: JIT_CONVOLUTIONS,EDGE_MASK_CONVOLUTIONS
set -uo pipefail
cd "$(dirname "$0")/../../.."
PYTHON=${PYTHON:-python3} PACKAGES=${PACKAGES:-build/gpu} OUT=${OUT:-benchmarks/results/gpu}
mkdir -p "$OUT" build/mypy/edgeau
for layer in train export optimize runtime benchmarks; do ln -sfn "../../../$layer" "build/mypy/edgeau/$layer"; done
export PYTHONPATH="$PWD/build/mypy${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
study() { "$PYTHON" -m "edgeau.benchmarks.studies.$1" "${@:2}"; }
engine_of() { ls "$PACKAGES/$1.edgeau/engines/"*".$2.engine" 2>/dev/null | head -n 1; }

engines() {
  study gpu.engines "$PACKAGES"/*.edgeau ${TACTIC_SOURCES:+--tactic-sources "$TACTIC_SOURCES"} -o "$OUT/engines.json"
}
plans() {
  study gpu.plans "$(engine_of shipped fp32)" "$(engine_of shipped int8)" -o "$OUT/plans.json"
}
calls() {
  local name
  for name in shipped fan-trans-s; do
    for batch in 1 8 64; do
      study gpu.calls "$(engine_of $name fp16)" --batch $batch --seconds 1 -o "$OUT/calls-$name-$batch.json"
    done
  done
}
endurance() {
  study gpu.endurance "$(engine_of shipped fp16)" --calls 10000 -o "$OUT/endurance.json"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$OUT/gpu.txt"
failed=0
for part in "${@:-engines plans calls endurance}"; do
  for each in $part; do
    echo "== $each"
    if $each 2> >(tee "$OUT/$each.log" >&2); then echo "== $each: done"; else echo "== $each: FAILED ($?)"; failed=1; fi
  done
done
exit $failed
