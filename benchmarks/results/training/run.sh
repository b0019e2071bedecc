#!/usr/bin/env bash
# Trains and evaluates what benchmarks/results/training reports, in two lanes of one thread each (two CPU cores).
#   EDGEAU_ICT=ict_facekit_light.npz benchmarks/results/training/run.sh data   then   lane-1 & lane-2
# Runs that are done are left alone, so that an interrupted lane is started again by the same command.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export OMP_NUM_THREADS=1
mkdir -p runs
steps=${STEPS:-1200}
# As all models did when these were trained.
old=(--config pixels=scaled --precision fp32)
common=("${old[@]}" --steps "$steps" --batch 32 --eval-every 300 --val 0.05 --test 0 --workers 1)

data() {
  edgeau synth --out data/train --face ict --subjects 500 --frames 40 --seed 500 --workers 2
  edgeau synth --out data/more --face ict --subjects 150 --frames 40 --seed 800 --workers 2
  edgeau synth --out data/test --face ict --subjects 40 --frames 30 --seed 700 --workers 2
  edgeau synth --out data/heldout --face ict --subjects 48 --frames 30 --seed 900 --domain heldout --workers 2
  edgeau synth --out data/builtin --face builtin --subjects 500 --frames 40 --seed 500 --workers 2
}

# run FOLDER VERB OPTIONS...: trains unless done, then reads the two test sets.
run() {
  local out=runs/$1 verb=$2
  shift 2
  if [ ! -f "$out/metrics.json" ]; then
    echo "$(date +%T) $out"
    edgeau "$verb" --out "$out" "$@" >"$out.log" 2>&1 || { tail -n 3 "$out.log"; return 1; }
  fi
  for checkpoint in "$out"/*.pt; do
    [ "$(basename "$checkpoint")" = last.pt ] && continue
    for set in test heldout; do
      local result=${checkpoint%.pt}.$set.json
      [ -f "$result" ] || edgeau eval "$checkpoint" --data data/$set --subjects all --json >"$result.part"
      [ -f "$result" ] || mv "$result.part" "$result"
    done
  done
}

fan() { run fan train "${old[@]}" --model fan-s --data data/train --steps 1300 --eval-every 325 --seed 1 --workers 1; }
teacher() { run "teacher-$1" train --model fan-trans-s --fan runs/fan --data data/train --seed "$1" "${common[@]}"; }
alone() { run "alone-$1" train --model cednn-s --data data/train --seed "$1" "${common[@]}"; }
builtin() { run "builtin-$1" train --model cednn-s --data data/builtin --seed "$1" "${common[@]}"; }
features() { run "features-$1" distill --teacher runs/teacher-1/best.pt --student cednn-s --data data/train --seed "$1" "${common[@]}"; }
distilled() { run "distilled-$1" distill --teacher runs/teacher-1/best.pt --student cednn-s --feature-weight 0 --data data/train --seed "$1" "${common[@]}"; }
online() { run "online-$1" distill --peers cednn-s,cednn-s --data data/train --seed "$1" "${common[@]}"; }
single() { run "$1" train --model "$1" --data data/train --seed 1 "${common[@]}"; }

# The student that ships, and the same network without the teacher; larger, and more steps than the comparison.
long=("${old[@]}" --steps 2000 --batch 32 --eval-every 500 --val 0.05 --test 0 --workers 1 --seed 1)
shipped() { run shipped distill --teacher runs/teacher-1/best.pt --student cednn-m --feature-weight 0 --data data/train --data data/more "${long[@]}"; }
unshipped() { run unshipped train --model cednn-m --data data/train --data data/more "${long[@]}"; }
# Fewer channels, or INT8 in training, from the student that ships; and as many plain steps from it, to compare with.
more=("${old[@]}" --teacher runs/teacher-1/best.pt --init runs/shipped/best.pt --data data/train --data data/more --steps 300 --batch 32 --lr 0.0005 --eval-every 100 --val 0.05 --test 0 --workers 1 --seed 1)
pruned() { run pruned distill "${more[@]}" --prune 0.3; }
qat() { run qat distill "${more[@]}" --qat; }
tuned() { run tuned distill "${more[@]}"; }

for job in "$@"; do ${job%%:*} $(tr : ' ' <<<"${job#"${job%%:*}"}"); done
