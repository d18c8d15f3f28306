"""Pixels in and out: picture files, the pyramid of layer sizes, sampling coordinates."""
