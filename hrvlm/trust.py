"""Modules that the user trusts, besides those of this project: classes of them may be named in files."""

from __future__ import annotations

import os

TRUSTED = "HRVLM_TRUSTED_MODULES"


def trusted_modules() -> list[str]:
    """Modules that the user trusts, from the environment: names with commas between them.

    Raises:
        ValueError: If one is no name of a module.
    """
    given = [name.strip() for name in os.environ.get(TRUSTED, "").split(",") if name.strip()]
    wrong = [name for name in given if not all(part.isidentifier() for part in name.split("."))]
    if wrong or "jsonargparse" in [name.partition(".")[0] for name in given]:
        raise ValueError(f"expected modules with commas between them in {TRUSTED}, such as my_package, got {given}")
    return given
