#!/usr/bin/env bash
# Trains a FAN, then a FAN-Trans on it, on faces rendered while training; the same command continues after an interruption.
#   EDGEAU_ICT=ict_facekit_light.npz benchmarks/results/training/live.sh RUNS [PHOTOS]
# RUNS gets data/ (sets to judge on), fan/, teacher/ and teacher/snapshots/: weights over time, each read on the test set,
# in another world and, with PHOTOS and EDGEAU_YUNET, on press photos. THREADS (1) and NICE (19) say how much to take.
set -euo pipefail
runs=$1 photos=${2:-}
export OMP_NUM_THREADS=${THREADS:-1}
mkdir -p "$runs/data" "$runs/teacher/snapshots"
edgeau() { nice -n "${NICE:-19}" python -m edgeau.runtime "$@"; }

# set NAME OPTIONS...: renders a set unless it is there.
set_of() { [ -f "$runs/data/$1/index.json" ] || edgeau synth --out "$runs/data/$1" "${@:2}"; }

# stage NAME OPTIONS...: trains, or resumes, unless done.
stage() {
  [ -f "$runs/$1/metrics.json" ] && return
  if [ -f "$runs/$1/last.pt" ]; then edgeau train --resume "$runs/$1"; else edgeau train --out "$runs/$1" "${@:2}"; fi
}

# judge CHECKPOINT: F1 on both sets, and on photos.
judge() {
  for set in test heldout; do
    [ -f "${1%.pt}.$set.json" ] || edgeau eval "$1" --data "$runs/data/$set" --subjects all --json >"${1%.pt}.part"
    [ -f "${1%.pt}.$set.json" ] || mv "${1%.pt}.part" "${1%.pt}.$set.json"
  done
  [ -z "$photos" ] || [ -f "${1%.pt}.photos.json" ] ||
    nice -n "${NICE:-19}" python -m edgeau.benchmarks.studies.real_photos "$photos" "$1" -o "${1%.pt}.photos.json"
}

# best_step HISTORY: the step of the best validation, five digits.
best_step() {
  python -c "import json, sys
lines = [line for line in map(json.loads, open(sys.argv[1])) if line['kind'] == 'val']
print(f\"{max(lines, key=lambda line: line['fan-trans-s'])['step']:05d}\")" "$1"
}

# Keeps a copy of the best weights every ten minutes.
snapshots() {
  while sleep 600; do
    [ "$runs/teacher/best.pt" -nt "$runs/teacher/snapshots/last" ] || continue
    cp "$runs/teacher/best.pt" "$runs/teacher/snapshots/$(best_step "$runs/teacher/history.jsonl").pt"
    touch "$runs/teacher/snapshots/last"
  done
}

set_of test --face ict --subjects 40 --frames 30 --seed 700
set_of heldout --face ict --subjects 48 --frames 30 --seed 900 --domain heldout
set_of val-ict --face ict --subjects 24 --frames 14 --seed 1000
set_of val-builtin --face builtin --subjects 12 --frames 14 --seed 1000
val=(--val-data "$runs/data/val-ict" --val-data "$runs/data/val-builtin" --augment strong)
touch -d @0 "$runs/teacher/snapshots/last"
snapshots & trap "kill $!" EXIT
stage fan --model fan-s --data render:faces=ict+builtin,seed=11 "${val[@]}" --batch 32 --steps 560 --eval-every 140 --seed 11
stage teacher --model fan-trans-s --fan "$runs/fan" --data render:faces=ict+builtin,seed=12 "${val[@]}" \
  --batch 64 --steps 6400 --lr 0.0015 --warmup 200 --eval-every 100 --seed 12
for checkpoint in "$runs"/teacher/snapshots/*.pt; do judge "$checkpoint"; done
python -m edgeau.benchmarks.studies.training_curve "$runs/teacher/snapshots" --batch 64 -o "$runs/teacher/curve"
