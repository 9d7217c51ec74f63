#!/usr/bin/env bash
# Builds and runs the exports of every example cell and three models, in all forms, on the GPU at hand: equal to
# the Python runtime bit for bit, and within 2 % of its time a step; in a minute and a half on 16 cores.
#   benchmarks/export_check.sh OUT [COMMIT]
# It needs nvcc, make and a C compiler. The Python that runs must have the dependencies; the package
# need not be installed. OUT/export.json has the numbers; the exit code is 0 if all is well.
set -euo pipefail
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "$0")/.."

# A checkout alone cannot be imported: grammar and templates are parts of the package by its build.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r sprnnc runtime/sprnn_runtime benchmarks examples "$work"
cp -r grammar templates "$work/sprnnc"
cd "$work"
python=${PYTHON:-python3}
PYTHONPATH="$work:${PYTHONPATH:-}" PYTHONUNBUFFERED=1 "$python" -m benchmarks.export_check "$out" --commit "${2:-}" | tee "$out/export.log"
