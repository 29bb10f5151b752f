"""Layouts that others write models in: how each is recognised, read without running anything, and written."""
