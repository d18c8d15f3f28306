#!/usr/bin/env bash
# The scalable peer of the paper: recipes/mei.sh DATA VALID [RUNS]. SIZE=-small for a quarter of the cost,
# ENHANCED=-enhanced for mean-scale hyperpriors.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
profile=mei${ENHANCED:-}${SIZE:-}
# The smallest layer, a quarter of a crop, must hold more than one hyper-latent of 64x64 pixels.
crops=(--crop 256 --batch 2)
[ -z "${ENHANCED:-}" ] || crops=(--crop 384 --batch 1)
compass train layers --profile "$profile" --data "$data" --valid "$valid" --out "$runs/$profile" \
  --precision "${PRECISION:-fp32}" --steps 250000 --rate 2.5e-4 --warmup 1000 "${crops[@]}"
