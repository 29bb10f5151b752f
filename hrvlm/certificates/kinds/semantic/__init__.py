"""Semantic extents: intervals of a change stated in words over which the class of an embedding cannot change."""
