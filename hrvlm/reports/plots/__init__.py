"""Every figure as a function: rows or records in, a matplotlib `Figure` out.

Figures are made without pyplot, so nothing global changes and nothing stays open: `figure.savefig(path)` writes one,
and `figure.axes` are there to be changed. The names are listed in `__init__.pyi` and imported when they are asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
