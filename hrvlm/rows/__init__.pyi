from .fields import at_least, between, one_of
from .lines import BadLine, iterate_lines, row_of
from .strict import RowError, Strict

__all__ = ["BadLine", "RowError", "Strict", "at_least", "between", "iterate_lines", "one_of", "row_of"]
