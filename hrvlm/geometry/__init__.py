"""Poincaré ball and sphere: pure functions on tensors."""

from hrvlm.geometry import poincare, sphere

__all__ = ["poincare", "sphere"]
