"""What a configuration may reach: files of this machine, and classes of packages that are known or named as trusted.

A configuration names classes (`class_path`), and importing a module runs it. So a class is looked at only if its
package is one of `PACKAGES` or named in the environment variable HRVLM_TRUSTED_MODULES; and only where a parameter
expects a class of its kind, never where it takes any value.
"""

from __future__ import annotations

import re

from jsonargparse import set_parsing_settings

from hrvlm.trust import TRUSTED, trusted_modules

# Of PyTorch only what configurations are made of: elsewhere in it are functions that load programs.
PACKAGES = ("hrvlm", "lightning", "pytorch_lightning", "torch.nn", "torch.optim", "torchmetrics")
_DENIAL = re.compile(
    r", denied by the '[^']+' entry of the import path denylist\."
    r"( Add the import path to import_path_allowlist in set_parsing_settings to allow it\.)?"
)


def restrict_parsers() -> None:
    """Sets the bounds for every parser; called for each, since Lightning's own import widens them again."""
    set_parsing_settings(
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
        instantiate_subclass_spec_in_any=False,
        import_path_denylist=["*"],
        import_path_allowlist=[*PACKAGES, *trusted_modules()],
    )


def explained(message: str) -> str:
    """A parser's message in the words of this project."""
    known = ", ".join(PACKAGES)
    ours = f": expected a class of {known}, or of a module named in the environment variable {TRUSTED} if you trust it"
    return _DENIAL.sub(ours, message)
