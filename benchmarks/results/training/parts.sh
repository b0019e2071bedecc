#!/usr/bin/env bash
# What each part of training gives, after live.sh has made RUNS/data and RUNS/teacher: the shipped student adapted without
# labels to a world that it never saw, assisted by photos of expressions, and a small student alone and distilled.
#   EDGEAU_ICT=ict_facekit_light.npz [LEARN=photos JUDGE=photos] parts.sh RUNS SEEDS JOB...        such as parts.sh runs "1 2 3" adapted tuned
# LEARN and JUDGE are folders with labels.csv (file, expression) of different people. Runs that are done are left alone, so that
# the same command continues. STEPS (150) is for runs that start from the shipped student, PATIENT (6000) for the others.
set -euo pipefail
runs=$1 seeds=$2; shift 2
teacher=${TEACHER:-$runs/teacher/best.pt}
export OMP_NUM_THREADS=${THREADS:-1}
edgeau() { nice -n "${NICE:-19}" python -m edgeau.runtime "$@"; }
set_of() { [ -f "$runs/data/$1/index.json" ] || edgeau synth --out "$runs/data/$1" "${@:2}"; }

# job NAME VERB OPTIONS...: trains unless done, then judges on every world and on photos.
job() {
  local out=$runs/parts/$1
  if [ ! -f "$out/metrics.json" ]; then
    if [ -f "$out/last.pt" ]; then edgeau "$2" --resume "$out"; else edgeau "$2" --out "$out" "${@:3}"; fi
  fi
  for set in test heldout test-builtin; do
    [ -f "$out/best.$set.json" ] || edgeau eval "$out/best.pt" --data "$runs/data/$set" --subjects all --json >"$out/part"
    [ -f "$out/best.$set.json" ] || mv "$out/part" "$out/best.$set.json"
  done
  [ -z "${JUDGE:-}" ] || [ -f "$out/best.photos.json" ] ||
    python -m edgeau.benchmarks.studies.real_photos "$JUDGE" "$out/best.pt" -o "$out/best.photos.json"
}

# few COUNT: the first photos of LEARN in a fixed random order.
few() {
  local learn
  learn=$(realpath "$LEARN") && mkdir -p "$runs/photos-$1"
  (echo file,expression; tail -n +2 "$learn/labels.csv" | sed "s|^|$learn/|" | shuf --random-source=<(yes) | head -n "$1") >"$runs/photos-$1/part"
  mv "$runs/photos-$1/part" "$runs/photos-$1/labels.csv"
}

# From the shipped student: as many steps of each, on faces of its own world.
short=(--init shipped --data "$runs/data/train-ict" --steps "${STEPS:-150}" --batch 32 --lr 0.0005 --warmup 15
  --eval-every 75 --val 0.05 --test 0 --workers 1 --augment strong)
same=(--model cednn-m --config pixels=scaled "${short[@]}")
taught=(--teacher "$teacher" --feature-weight 0)
tuned() { job "tuned-$1" distill "${taught[@]}" "${short[@]}" --seed "$1"; }
adapted() { job "adapted-$1" distill "${taught[@]}" "${short[@]}" --unlabelled "$runs/data/world-builtin" --unlabelled-batch 32 --seed "$1"; }
adapted_home() { job "adapted-home-$1" distill "${taught[@]}" "${short[@]}" --label-weight 1 --logit-weight 0 --unlabelled "$runs/data/world-builtin" --unlabelled-batch 32 --seed "$1"; }
adapted_photos() { job "adapted-photos-$1" distill "${taught[@]}" "${short[@]}" --unlabelled "$LEARN" --unlabelled-batch 32 --seed "$1"; }
plain() { job "plain-$1" train "${same[@]}" --seed "$1"; }
assisted() { job "assisted-$1" train "${same[@]}" --assist "$LEARN" --assist-batch 32 --seed "$1"; }
assisted_long() { for n in 500 1500; do job "assisted-$n-steps-$1" train "${same[@]}" --assist "$LEARN" --assist-batch 32 --steps $n --seed "$1"; done; }
assisted_features() { job "assisted-features-$1" train "${same[@]}" --assist "$LEARN" --assist-batch 32 --assist-reads features --seed "$1"; }
assisted_few() { for n in 100 300 1000; do few $n; job "assisted-$n-photos-$1" train "${same[@]}" --assist "$runs/photos-$n" --assist-batch 32 --seed "$1"; done; }
# On more rendered faces of both kinds, with this teacher's answers.
taught_on() { job "taught-on-$1" distill "${taught[@]}" --init shipped --data render:faces=ict+ict+builtin,seed=41 --val-data "$runs/data/val-ict" \
  --val-data "$runs/data/val-builtin" --augment strong --neutral-unknown 0.5 --steps 600 --batch 64 --lr 0.001 --warmup 50 --eval-every 100 --seed "$1"; }

# From nothing: a student of a fifth of the teacher's size, equal samples, a long schedule, strongly altered views.
long=(--data "render:faces=ict+builtin,seed=31" --val-data "$runs/data/val-ict" --val-data "$runs/data/val-builtin"
  --augment strong --batch 64 --steps "${PATIENT:-6000}" --eval-every 500)
alone() { job "alone-$1" train --model cednn-s "${long[@]}" --seed "$1"; }
patient() { job "patient-$1" distill "${taught[@]}" --student cednn-s --label-weight 0.5 "${long[@]}" --seed "$1"; }
patient_mixup() { job "patient-mixup-$1" distill "${taught[@]}" --student cednn-s --mixup 0.2 "${long[@]}" --seed "$1"; }

set_of world-builtin --face builtin --subjects 200 --frames 15 --seed 2100
set_of test-builtin --face builtin --subjects 40 --frames 20 --seed 2200
set_of train-ict --face ict --subjects 184 --frames 25 --seed 2000
for seed in $seeds; do for name in "$@"; do "$name" "$seed"; done; done
python -m edgeau.benchmarks.studies.training_table "$runs"/parts/*/ -o "$runs/parts/f1"
