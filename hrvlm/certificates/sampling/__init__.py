"""Noisy copies of images through a classifier: procedures that draw, count, draw on or stop."""
