"""The special functions of SciPy that statistics rest on, without the rest of `scipy.special`.

They are compiled in one module of SciPy. Around it, its package sets up what other kinds of array need, which imports
NumPy's tools for tests and for Fortran and takes longer than NumPy itself: a third of the time of a command that checks
a few rows. So that module is entered without its package, which is as ever for whoever imports it later.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.special import (
        bdtr,
        betainc,
        betaincc,
        betainccinv,
        betaincinv,
        betaln,
        gammaln,
        log_ndtr,
        ndtr,
        ndtri,
    )

__all__ = [
    "bdtr",
    "betainc",
    "betaincc",
    "betainccinv",
    "betaincinv",
    "betaln",
    "gammaln",
    "log_ndtr",
    "ndtr",
    "ndtri",
]

_PACKAGE, _COMPILED = "scipy.special", "scipy.special._ufuncs"


def _functions() -> dict[str, Any]:
    """The functions by name: of the compiled module if that has them all, else of the package, whose they are."""
    module = sys.modules.get(_PACKAGE) or _compiled() or import_module(_PACKAGE)
    return {name: getattr(module, name) for name in __all__}


def _compiled() -> Any:
    """The compiled module; None in a version of SciPy that has its functions elsewhere."""
    spec = find_spec(_PACKAGE)
    if spec is None:
        return None
    sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        found = import_module(_COMPILED)
    except ImportError:
        return None
    finally:
        del sys.modules[_PACKAGE]
    return found if all(hasattr(found, name) for name in __all__) else None


globals().update(_functions())
