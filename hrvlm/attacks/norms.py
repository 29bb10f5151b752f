"""Names of norms, apart from tensors: rows are read without these."""

from __future__ import annotations

from typing import Literal, get_args

Norm = Literal["linf", "l2"]
NORMS: tuple[Norm, ...] = get_args(Norm)
