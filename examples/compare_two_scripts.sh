#!/usr/bin/env bash
# Which of two commands takes more? Five runs each, in turns, so that a machine that warms up favours neither.
set -euo pipefail
greenbench measure --record runs --label short --other-label long --repeat "${RUNS:-5}" \
  --interleave "python3 -c 'sum(range(6*10**6))'" -- python3 -c 'sum(range(3*10**6))'
greenbench compare runs:short runs:long
