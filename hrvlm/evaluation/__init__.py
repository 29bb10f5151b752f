"""Evaluation: what commands and callbacks measure of a model on a data set, and the folders that hold the results."""
