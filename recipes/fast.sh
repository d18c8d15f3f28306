#!/usr/bin/env bash
# The default model from nothing: recipes/fast.sh DATA VALID [RUNS]. Each step resumes when run again.
# Budgets are steps of a CPU core: about 20 hours in fp32. PRECISION=bf16 where the processor has the instructions.
set -euo pipefail
data=$1 valid=$2 runs=${3:-runs}
common=(--data "$data" --valid "$valid" --precision "${PRECISION:-fp32}" --subsampled 0.5)
base=$runs/fast-base/weights.pt

compass train base "${common[@]}" --out "$runs/fast-base-start" --steps 60000 --rate 2e-3 --crop 128 --batch 4
compass train base "${common[@]}" --out "$runs/fast-base" --steps 80000 --rate 1.2e-3 --crop 192 --batch 2 \
  --start "base=$runs/fast-base-start/weights.pt"
compass train predictor "${common[@]}" --out "$runs/fast-predictor" --steps 4000 --rate 2e-3 --crop 96 --batch 8
# The residual codec starts again from each new base: one from an older base lags behind for hours.
compass train joint "${common[@]}" --out "$runs/fast-joint" --steps 40000 --rate 1e-3 --crop 192 --batch 2 \
  --start "base=$base" --start "residual=base:$base" --start "predictor=$runs/fast-predictor/weights.pt"
compass export "$runs/fast-joint/weights.pt" "$runs/fast.model" --fit "$data" --force
