"""Measuring codecs: rate and distortion of real files, BD-rate, recorded and published peers."""
