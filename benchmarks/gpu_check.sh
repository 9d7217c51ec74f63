#!/usr/bin/env bash
# Everything that a GPU must say about a commit, in some five minutes: tests and memory checks, then ours beside
# all peers, the ablation, and a trained network. What needs no GPU is done at the same time as the tests.
#   benchmarks/gpu_check.sh OUT COMMIT [WEIGHTS.npz]
# The Python that runs must have the dependencies; the package need not be installed.
set -uo pipefail
out=$(realpath "$1") commit=$2 weights=${3:+$(realpath "$3")}
cd "$(dirname "$0")/.."

# A checkout alone cannot be imported: grammar and templates are parts of the package by its build.
work=$(mktemp -d)
cp -r sprnnc runtime/sprnn_runtime benchmarks tests examples pyproject.toml "$work"
cp -r grammar templates "$work/sprnnc"
cd "$work"
export PYTHONPATH="$work:${PYTHONPATH:-}" PYTHONUNBUFFERED=1

python3 -m benchmarks.peers.build "$work/peers.so" >"$out/peers_build.log" 2>&1 &
python3 -m benchmarks.compile_cases "$work/cases" --group acceptance --group ablation >"$out/compile.log" 2>&1 &
compute-sanitizer --tool memcheck --error-exitcode 9 python3 benchmarks/memcheck.py >"$out/memcheck.log" 2>&1 &
memcheck_job=$!
SPRNNC_REQUIRE_GPU=1 timeout 200 python3 -m pytest tests/gpu -n 6 -p no:cacheprovider >"$out/tests.log" 2>&1
tests=$?
wait "$memcheck_job"
memcheck=$?
wait # timings begin only when nothing else runs

library=()
[ -f "$work/peers.so" ] && library=(--library "$work/peers.so")
bench() {
  python3 -m benchmarks.bench --output "$out/h200.json" --artifacts "$work/cases" --commit "$commit" \
    "${library[@]}" --repeats 15 "$@"
}
bench --group acceptance --peers strongest --time-limit 150
bench --group ablation --no-peers --resume --time-limit 60
[ -n "$weights" ] && python3 benchmarks/first_light.py "$weights" --commit "$commit" --output "$out/first_light.json"

grep -aE "FAILED|ERROR" "$out/tests.log" | head -20
tail -3 "$out/tests.log"
tail -3 "$out/memcheck.log"
echo "tests $tests memcheck $memcheck"
exit $((tests || memcheck))
