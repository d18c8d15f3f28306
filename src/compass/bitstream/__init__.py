"""Bytes in and out: the container, and entropy coding of integers with fixed tables."""
