"""Rows of all that is measured: lines of JSON, read with types, ranges and words, or refused in one sentence."""

from hrvlm.rows.fields import at_least, between, one_of
from hrvlm.rows.lines import BadLine, iterate_lines, row_of
from hrvlm.rows.strict import RowError, Strict

__all__ = ["BadLine", "RowError", "Strict", "at_least", "between", "iterate_lines", "one_of", "row_of"]
