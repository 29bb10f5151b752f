"""Randomized smoothing: an L2 radius around an image within which the smoothed class cannot change."""
