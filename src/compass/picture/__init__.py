"""Pixels in and out: image files, the pyramid of layer sizes, sampling coordinates."""
