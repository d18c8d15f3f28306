#!/usr/bin/env bash
# The paper's system by its three stages: recipes/paper.sh DATA VALID [RUNS]. Each step resumes when run again.
# SIZE=-small for a quarter of the cost; the full size is for an accelerator.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
profile=paper${SIZE:-}
common=(--profile "$profile" --data "$data" --valid "$valid" --precision "${PRECISION:-fp32}")
base=$runs/$profile-base/weights.pt

compass train base "${common[@]}" --out "$runs/$profile-base" --steps 250000 --rate 1e-3 --crop 128 --batch 2
compass train residual "${common[@]}" --out "$runs/$profile-residual" --steps 60000 --rate 2e-4 --crop 192 --batch 2 \
  --start "base=$base" --start "residual=base:$base"
compass train predictor "${common[@]}" --out "$runs/$profile-predictor" --steps 60000 --rate 2e-4 --crop 128 --batch 4
compass train joint "${common[@]}" --out "$runs/$profile-joint" --steps 60000 --rate 1e-4 --crop 192 --batch 2 \
  --start "base=$base" --start "residual=$runs/$profile-residual/weights.pt" \
  --start "predictor=$runs/$profile-predictor/weights.pt"
compass export "$runs/$profile-joint/weights.pt" "$runs/$profile.model" --profile "$profile" --force
