"""Data sets and Lightning data modules; the packaged emoji data; pictures of any source.

The names of this package are listed in `__init__.pyi` and imported when they are asked for: what only lists pictures
does not wait for tensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
