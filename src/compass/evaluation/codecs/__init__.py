"""Codecs under test, one file each, behind one contract."""
