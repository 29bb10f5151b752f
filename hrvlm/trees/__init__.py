"""Class trees: hierarchies over the classes of a data set, read from YAML, validated, and turned into levels.

The names of this package are listed in `__init__.pyi` and imported when they are asked for: what only reads YAML, or
words, does not wait for trees.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
