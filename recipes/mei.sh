#!/usr/bin/env bash
# The scalable peer of the paper: recipes/mei.sh DATA VALID [RUNS]. SIZE=-small for a quarter of the cost,
# ENHANCED=-enhanced for mean-scale hyperpriors.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
profile=mei${ENHANCED:-}${SIZE:-}
compass train layers --profile "$profile" --data "$data" --valid "$valid" --out "$runs/$profile" \
  --precision "${PRECISION:-fp32}" --steps 250000 --rate 2.5e-4 --warmup 1000 --crop 256 --batch 2
