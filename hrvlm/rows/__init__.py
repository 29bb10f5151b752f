"""Rows of all that is measured: lines of JSON, read with types, ranges and words, or refused in one sentence.

The names of this package are listed in `__init__.pyi` and imported when they are asked for: what needs one module of it
does not wait for the reader of rows.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
