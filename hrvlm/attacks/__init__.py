"""Threat model, perturbation for training, attacks for evaluation; all are given a loss or a classifier on pixels.

The names of this package are listed in `__init__.pyi` and imported when they are asked for, so that a command that only
reads rows starts without models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
