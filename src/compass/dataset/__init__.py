"""Whole data sets of images, coded on the cores of one machine or of many."""
