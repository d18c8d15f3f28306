"""Training: data, stages, the loop, export to a model file."""
