"""Denoisers as folders: a class with its arguments and safetensors, or a diffusion model of diffusers.

Nothing that could run code on opening is read: no pickles, and so no programs of torch.export either, whose archives
may hold pickled constants. Classes are those of this project and of modules that the user trusts.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hrvlm.models.denoisers.diffusion import PIPELINE_FILE, load_one_step
from hrvlm.models.denoisers.network import ConvolutionalDenoiser
from hrvlm.models.finite import check_finite
from hrvlm.trees.bounded_text import is_address, load_json, read_text
from hrvlm.trust import TRUSTED, trusted_modules
from hrvlm.whole_files import check_place, whole_folder

DESCRIPTION_FILE, WEIGHTS_FILE = "denoiser.json", "denoiser.safetensors"
OWN = "hrvlm.models.denoisers.network"


def export_denoiser(denoiser: ConvolutionalDenoiser, folder: str | Path) -> Path:
    """Writes a denoiser of this project.

    Args:
        denoiser: What to write; it is left as it is.
        folder: Made if missing; other files in it are kept.

    Returns:
        The folder.
    """
    check_place(folder)
    with whole_folder(Path(folder)) as written:
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in denoiser.state_dict().items()},
            written / WEIGHTS_FILE,
        )
        described = {"class_path": f"{OWN}.{type(denoiser).__name__}", "init_args": denoiser.settings}
        (written / DESCRIPTION_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return Path(folder)


def load_denoiser(folder: str | Path, sigma: float | None = None) -> nn.Module:
    """Loads a denoiser in evaluation mode; see `read_denoiser`."""
    return read_denoiser(folder, sigma)[0]


def read_denoiser(folder: str | Path, sigma: float | None = None) -> tuple[nn.Module, dict[str, Any] | None]:
    """Loads a denoiser in evaluation mode, with what tells it from others of its class and weights, see `Denoised`.

    Args:
        folder: With `denoiser.json` (`class_path` and `init_args`) and `denoiser.safetensors`, or a pipeline of
            diffusers (`model_index.json`, `unet`, `scheduler`).
        sigma: Standard deviation of the noise in pixel units that a diffusion model is to take off in one step; other
            denoisers are told nothing of it.

    Raises:
        ValueError: If nothing of the kind is there, files do not fit each other, or a class is not trusted.
    """
    if is_address(folder):
        raise ValueError(f"expected a denoiser on this machine, got the address {folder}; copy it here first")
    path = Path(folder)
    if (path / PIPELINE_FILE).is_file():
        diffusion = load_one_step(path, sigma).eval()
        return diffusion, diffusion.settings
    if not (path / DESCRIPTION_FILE).is_file():
        raise ValueError(
            f"expected a folder with {DESCRIPTION_FILE} and {WEIGHTS_FILE}, or a pipeline of diffusers with "
            f"{PIPELINE_FILE}, as denoiser, got {folder}, which has neither"
        )
    if sigma is not None:
        raise ValueError(f"expected no denoiser_sigma with {folder}: only diffusion models are told how much noise")
    denoiser, described = _made(path / DESCRIPTION_FILE)
    try:
        state = load_file(path / WEIGHTS_FILE)
        check_finite(state, path / WEIGHTS_FILE)
        denoiser.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected {path / WEIGHTS_FILE} to hold the weights of its denoiser: {problem}") from error
    return denoiser.eval(), None if isinstance(denoiser, ConvolutionalDenoiser) else described


def _made(file: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The module that a description names, untrained, and the description."""
    try:
        described = load_json(read_text(file))
        class_path, arguments = described["class_path"], described.get("init_args", {})
        module, _, name = class_path.rpartition(".")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"expected class_path and init_args of a denoiser in {file}: {problem}") from error
    try:
        found = getattr(importlib.import_module(_trusted(module, file)), name, None)
    except ImportError as error:
        raise ValueError(f"expected a module at hand in class_path in {file}, got {module!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"expected a class of modules as class_path in {file}, got {class_path!r}")
    try:
        made: Any = found(**arguments)
    except TypeError as error:
        raise ValueError(f"expected arguments of {class_path} as init_args in {file}: {error}") from error
    return made, {"class_path": class_path, "init_args": arguments}


def _trusted(module: str, file: Path) -> str:
    trusted = trusted_modules()
    if module != OWN and not any(module == name or module.startswith(f"{name}.") for name in trusted):
        raise ValueError(
            f"expected a denoiser of {OWN} in {file}, or of a module named in the environment variable {TRUSTED} if "
            f"you trust it, got {module!r}"
        )
    return module
