#!/usr/bin/env bash
# One model per rate, as in the paper: recipes/fixed-lambda.sh DATA VALID [RUNS]. Qualities 1 to 4 are its four lambdas.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
for quality in 1 2 3 4; do
  compass train base --profile paper --quality "$quality" --data "$data" --valid "$valid" --out "$runs/paper-q$quality" \
    --precision "${PRECISION:-fp32}" --steps 250000 --rate 1e-3 --crop 128 --batch 2
  compass export "$runs/paper-q$quality/weights.pt" "$runs/paper-q$quality.model" --profile paper --base-only \
    --quality "$quality" --force
done
