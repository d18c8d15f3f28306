#!/usr/bin/env bash
# The paper's peer without a hyperprior: recipes/factorized.sh DATA VALID [RUNS]. SIZE=-small for a quarter of the cost.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
profile=factorized${SIZE:-}
compass train base --profile "$profile" --data "$data" --valid "$valid" --out "$runs/$profile" \
  --precision "${PRECISION:-fp32}" --steps 250000 --rate 1e-3 --crop 128 --batch 2
compass export "$runs/$profile/weights.pt" "$runs/$profile.model" --profile "$profile" --force
