#!/usr/bin/env bash
# Trains FAN, then the FAN-Trans -m teacher on it, on faces rendered meanwhile, for as long as the time allows, and
# continues where it was: what resumes it comes and goes in files of 15 MB.
#
#   SECONDS_LEFT=540 STATE=build/gpu-teacher bash benchmarks/results/gpu/teacher.sh
#
# Needs edgeau[train], EDGEAU_ICT, and EGL for the renderer.
#   PYTHON          the interpreter (python3)
#   SECONDS_LEFT    stop after so many seconds (540); what was trained is kept
#   STATE           folder of what resumes the training (build/gpu-teacher); the same at the next call
#   FAN_STEPS, STEPS, BATCH, WORKERS, VAL_SUBJECTS    of the training (1500, 40000, 128, a renderer per core but two, 24)
set -uo pipefail
cd "$(dirname "$0")/../../.."
PYTHON=${PYTHON:-python3} STATE=${STATE:-build/gpu-teacher} RUNS=build/gpu-runs
WORKERS=${WORKERS:-$(($(nproc) > 3 ? $(nproc) - 2 : 1))}
deadline=$((SECONDS + ${SECONDS_LEFT:-540}))
mkdir -p "$STATE" "$RUNS" build/mypy/edgeau
for layer in train export optimize runtime benchmarks; do ln -sfn "../../../$layer" "build/mypy/edgeau/$layer"; done
export PYTHONPATH="$PWD/build/mypy${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
compgen -G "$STATE/runs.tar.*" >/dev/null && cat "$STATE"/runs.tar.* | tar -x -C "$RUNS"
# stage RUN OPTIONS...: trains or continues until it ends or the time does.
stage() {
  local run=$RUNS/$1; shift
  [ -f "$run/metrics.json" ] && return
  local left=$((deadline - SECONDS)) how=(--out "$run" "$@")
  [ $left -gt 20 ] || return
  [ -f "$run/last.pt" ] && how=(--resume "$run")
  timeout --signal INT --kill-after 60 $left "$PYTHON" -m edgeau.runtime train "${how[@]}"
}
faces="render:faces=ict+builtin,workers=$WORKERS"
[ -f "$RUNS/val/index.json" ] || "$PYTHON" -m edgeau.runtime synth --face ict --subjects "${VAL_SUBJECTS:-24}" --frames 20 --size 128 --seed 99 --workers "$WORKERS" --out "$RUNS/val"
common=(--val-data "$RUNS/val" --augment strong --precision auto)
stage fan --model fan-m --data "$faces,seed=21" "${common[@]}" --batch 64 --steps "${FAN_STEPS:-1500}" --eval-every 500 --seed 21
if [ -f "$RUNS/fan/metrics.json" ]; then
  stage teacher --model fan-trans-m --fan "$RUNS/fan" --data "$faces,seed=22" "${common[@]}" --batch "${BATCH:-128}" \
    --steps "${STEPS:-40000}" --lr 0.002 --warmup 400 --eval-every 500 --log-every 50 --seed 22
fi
rm -f "$STATE"/runs.tar.*
skip=(--exclude tensorboard --exclude ./val)
[ -f "$RUNS/fan/metrics.json" ] && skip+=(--exclude ./fan/last.pt)
tar -c -C "$RUNS" "${skip[@]}" . | split --bytes 15M --numeric-suffixes - "$STATE/runs.tar."
ls -l "$STATE"; for run in "$RUNS"/*/; do tail -n 2 "$run/history.jsonl" 2>/dev/null; done
