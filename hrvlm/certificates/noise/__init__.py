"""Gaussian noise by address: a function of seed, data set index and draw alone."""
