"""The zero-shot classification sets that torchvision reads, with class names and prompt templates.

The names of this package are listed in `__init__.pyi` and imported when they are asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
