#!/usr/bin/env bash
# Everything that a GPU must say about a commit, in eight minutes at most: tests and memory checks, then ours
# beside all peers, the ablation, ten times the parameters, a trained network, the sweeps, and FlashRNN.
#   benchmarks/gpu_check.sh OUT COMMIT [WEIGHTS.npz]
# The Python that runs must have the dependencies; the package need not be installed. What needs no quiet GPU is
# done at the same time as the tests. A stage that finds no time left, or that was cut off, goes on where it was
# when the same command is run again: results lie in OUT, what was compiled in SPRNNC_CHECK_WORK.
set -uo pipefail
mkdir -p "$1"
out=$(realpath "$1") commit=$2 weights=${3:+$(realpath "$3")}
work=${SPRNNC_CHECK_WORK:-/tmp/sprnnc-check-$commit}
deadline=$((SECONDS + ${SPRNNC_CHECK_SECONDS:-450})) # a row in hand is finished after it
cd "$(dirname "$0")/.."

# A checkout alone cannot be imported: grammar and templates are parts of the package by its build.
mkdir -p "$work"
cp -r sprnnc runtime/sprnn_runtime benchmarks tests examples pyproject.toml "$work"
cp -r grammar templates "$work/sprnnc"
cd "$work"
export PYTHONPATH="$work:${PYTHONPATH:-}" PYTHONUNBUFFERED=1

# stage SECONDS COMMAND...: runs it with the seconds that are left for it in `limit`, or not at all.
stage() {
  local left=$((deadline - SECONDS))
  limit=$(($1 < left ? $1 : left))
  if ((limit < 10)); then
    echo "no time left, run again for: ${*:2}"
  else
    echo "at most $limit s for: ${*:2}"
    "${@:2}"
  fi
}

run() { # run SECONDS MODULE ARGUMENTS...
  timeout "$1" python3 -m "${@:2}"
}
rows() { # rows MODULE ARGUMENTS...: it adds rows and ends in time by itself, after the one in hand
  local found=()
  [ -f peers.so ] && found+=(--library peers.so)
  [ -f "$out/floors.txt" ] && found+=(--floors "$out/floors.txt")
  run $((limit + 30)) "$1" --output "$out/h200.json" --artifacts cases --commit "$commit" "${found[@]}" \
    --repeats 15 --resume --time-limit "$limit" "${@:2}"
}
bench() { rows benchmarks.bench "$@"; }
models() {
  run $((limit + 30)) benchmarks.models --output "$out/h200.json" --artifacts models --commit "$commit" \
    --time-limit "$limit"
}
tenfold() { rows benchmarks.tenfold "$@"; }

peers() {
  [ -f peers.so ] || run "$limit" benchmarks.peers.build peers.so
}
prepare() {
  peers >"$out/peers_build.log" 2>&1 && tenfold --prepare-only >"$out/tenfold_prepare.log" 2>&1 &
  run "$limit" benchmarks.compile_cases cases >"$out/compile.log" 2>&1 &
  run "$limit" benchmarks.models --prepare-only --artifacts models >"$out/models_prepare.log" 2>&1 &
  run $((limit + 30)) benchmarks.peers.flashrnn_build --group flashrnn --time-limit "$limit" \
    >"$out/flashrnn_build.log" 2>&1 &
  nvcc -O3 -std=c++17 -gencode=arch=compute_90a,code=sm_90a benchmarks/exchange_floor.cu -o exchange_floor \
    >"$out/floor_build.log" 2>&1 &
}
check() {
  if [ "$(cat "$out/checked" 2>/dev/null)" = "$commit" ]; then
    tests=0 memcheck=0
    return
  fi
  timeout "$limit" compute-sanitizer --tool memcheck --error-exitcode 9 python3 benchmarks/memcheck.py \
    >"$out/memcheck.log" 2>&1 &
  local memcheck_job=$!
  SPRNNC_REQUIRE_GPU=1 run "$limit" pytest tests/gpu -n 6 -p no:cacheprovider >"$out/tests.log" 2>&1
  tests=$?
  wait "$memcheck_job"
  memcheck=$?
  ((tests || memcheck)) || echo "$commit" >"$out/checked"
}
floors() { # only what can be read: no row is lost to a floor
  local read='import sys; from pathlib import Path; from benchmarks.floors import Floors; Floors.read(Path(sys.argv[1]))'
  timeout "$limit" ./exchange_floor >floors.txt && python3 -c "$read" floors.txt && cp floors.txt "$out/floors.txt"
}
network() {
  local found=()
  [ -f "$out/floors.txt" ] && found+=(--floors "$out/floors.txt")
  run "$limit" benchmarks.first_light "$weights" --commit "$commit" "${found[@]}" --resume --dtypes fp16 fp32 bf16 \
    --output "$out/first_light_h200.json" >"$out/first_light.log" 2>&1
}

tests=1 memcheck=1 # what was not run has not passed
stage 160 prepare
stage 220 check
wait # timings begin only when nothing else runs
stage 60 floors
stage 150 bench --group acceptance --peers strongest
stage 60 bench --group ablation --no-peers
stage 60 tenfold
stage 90 models
[ -n "$weights" ] && stage 60 network
stage 200 bench --group density --group size --group batch --group layer --peers strongest
stage 120 bench --group flashrnn --peers strongest --flashrnn --flashrnn-seconds 40
run 60 benchmarks.report "$out/h200.json" >"$out/report.log" 2>&1

grep -aE "FAILED|ERROR" "$out/tests.log" | head -20
tail -3 "$out/tests.log"
tail -3 "$out/memcheck.log"
echo "tests $tests memcheck $memcheck"
exit $((tests || memcheck))
