"""Geometry of embeddings: affine scorers, rotations in the plane of a prompt pair, and intervals of one class."""
