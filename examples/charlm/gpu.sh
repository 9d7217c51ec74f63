#!/usr/bin/env bash
# The language model on a GPU, in under eight minutes: the large one with all results, then the demo's.
#   examples/charlm/gpu.sh OUT COMMIT [PEERS.so]
# OUT receives h200.json, demo.json, the log and model/. The Python that runs must have the dependencies and torch;
# the package need not be installed.
set -uo pipefail
mkdir -p "$1"
out=$(realpath "$1") commit=$2 peers=${3:+--peers $(realpath "$3")}
work=${SPRNNC_CHARLM_WORK:-/tmp/sprnnc-charlm-$commit}
cd "$(dirname "$0")/../.."

# A checkout alone cannot be imported: grammar and templates are parts of the package by its build.
mkdir -p "$work"
cp -r sprnnc runtime/sprnn_runtime benchmarks examples "$work"
cp -r grammar templates "$work/sprnnc"
cd "$work"
export PYTHONPATH="$work:${PYTHONPATH:-}" PYTHONUNBUFFERED=1

train() { # train SECONDS ARGUMENTS...: it ends in time by itself; the limit is for what hangs
  timeout $(($1 + 30)) python3 -m examples.charlm.train --time-limit "$1" --commit "$commit" "${@:2}" 2>&1 |
    tee -a "$out/log"
}
# shellcheck disable=SC2086
train "${SPRNNC_CHARLM_SECONDS:-370}" --hidden 1024 --output "$out/h200.json" $peers
status=$?
train 65 --reserve 20 --hidden 416 --densities 0.1 --batches 4 --no-equal --no-peers --dropout 0.1 \
  --output "$out/demo.json" --save "$out/model"
exit $((status | $?))
