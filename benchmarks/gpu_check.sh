#!/usr/bin/env bash
# Everything that a GPU must say about a commit: tests, memory checks, the first timings.
#   benchmarks/gpu_check.sh OUT [WEIGHTS.npz] [COMMIT]
set -uo pipefail
out=$1 weights=${2:-} commit=${3:-}
cd "$(dirname "$0")/.."
SPRNNC_REQUIRE_GPU=1 python3 -m pytest tests/gpu -n 4 -p no:cacheprovider >"$out/tests.log" 2>&1
tests=$?
compute-sanitizer --tool memcheck --error-exitcode 9 python3 benchmarks/memcheck.py >"$out/memcheck.log" 2>&1
memcheck=$?
[ -n "$weights" ] && python3 benchmarks/first_light.py "$weights" --commit "$commit" --output "$out/first_light.json"
grep -E "FAILED|ERROR" "$out/tests.log" | head -20
tail -3 "$out/tests.log"
tail -12 "$out/memcheck.log"
echo "tests $tests memcheck $memcheck"
exit $((tests || memcheck))
