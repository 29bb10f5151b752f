"""Loads any generative model by one name or path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from hrvlm.generative.decoding import Decoding
from hrvlm.generative.endpoint_client import EndpointOptions
from hrvlm.generative.generator import Generator
from hrvlm.generative.transformers_files import DeviceMap, Dtype
from hrvlm.models.checkpoint import Checkpoint, name_alone

PACKAGED = {"emoji-captioner": Path(__file__).parent / "emoji_captioner"}
CAPTIONER_FILE = "captioner.json"
PLAIN = {"dtype": "float32", "device_map": None, "reuse_prefix": False}
SCHEMES = ("http://", "https://")


def load_generator(
    path: str | Path | Checkpoint,
    *,
    prompt: str | None = None,
    decoding: Decoding | None = None,
    device: str | torch.device = "cpu",
    dtype: Dtype = "float32",
    device_map: DeviceMap = None,
    reuse_prefix: bool = False,
    endpoint: EndpointOptions | None = None,
) -> Generator:
    """Loads a generative model, in evaluation mode.

    Args:
        path: "emoji-captioner" (packaged), a folder of a captioner as exported by training, a folder that transformers'
            `save_pretrained` wrote (model and processor), or an open_clip CoCa name with its pretrained tag such as
            "coca_ViT-B-32/laion2b_s13b_b90k"; the tag "none" leaves it untrained. Only models of transformers need that
            package: open_clip's own `generate` does too, but is not what a CoCa answers with here. Or the address of a
            server such as vLLM's, "http://127.0.0.1:8000/v1", with "#MODEL" if it serves several; see `endpoint`.
        prompt: What the model is asked; None for the model's own default. The captioner knows "describe" and "act".
        decoding: How answers are chosen; None for greedy decoding.
        device: Where the model goes.
        dtype: Type of the numbers of a transformers model; "auto" for that of its files. Its pictures and their noise
            are float32 until they are normalised. Below float32 answers may change with the batch size.
        device_map: Places the parts of a transformers model on several devices, with the package accelerate: "auto", or
            a mapping of modules to devices. None for all of it on `device`.
        reuse_prefix: Whether a transformers model computes keys and values of the text before the picture once for all
            pictures; answers may differ by rounding.
        endpoint: How a server is asked; None for the defaults.

    Returns:
        The generator.

    Raises:
        ValueError: If nothing of the kind is there, files do not fit each other, a needed package is missing, or a
            server cannot be reached.
    """
    name, chosen = name_alone(path, "a model that answers in words"), decoding or Decoding()
    options = {"dtype": dtype, "device_map": device_map, "reuse_prefix": reuse_prefix}
    if name.startswith(SCHEMES):
        _check_plain(name, options)
        from hrvlm.generative.endpoint import load_endpoint

        return load_endpoint(name, prompt=prompt, decoding=chosen, options=endpoint).eval()
    generator = _load(name, prompt, chosen, options).eval()
    return generator if device_map is not None else generator.to(device)


def _load(path: str, prompt: str | None, decoding: Decoding, options: dict[str, Any]) -> Generator:
    folder = PACKAGED.get(path, Path(path))
    name, _, tag = path.rpartition("/")
    if (folder / CAPTIONER_FILE).is_file():
        _check_plain(path, options)
        from hrvlm.generative.captioner_files import load_captioner

        return load_captioner(folder, prompt=prompt, decoding=decoding)
    if name.startswith("coca_") and not folder.exists():
        _check_plain(path, options)
        from hrvlm.generative.coca import load_coca

        return load_coca(name, tag, prompt=prompt, decoding=decoding)
    if (folder / "config.json").is_file():
        _require("transformers", "generative")
        from hrvlm.generative.transformers_model import load_transformers

        return load_transformers(folder, prompt=prompt, decoding=decoding, **options)
    raise ValueError(
        f"expected path as one of {sorted(PACKAGED)}, a folder with {CAPTIONER_FILE} or transformers' config.json, "
        'an open_clip CoCa with its tag such as "coca_ViT-B-32/laion2b_s13b_b90k", or the address of a server such as '
        f'"http://127.0.0.1:8000/v1", got {path!r}'
    )


def _check_plain(path: str, options: dict[str, Any]) -> None:
    given = [f"{name}={value!r}" for name, value in options.items() if value != PLAIN[name]]
    if given:
        raise ValueError(
            f"expected {', '.join(PLAIN)} with models of transformers alone, got {', '.join(given)} for {path!r}, "
            "which is none; leave it out"
        )


def _require(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f'expected the package {package} to be installed, found none; run `pip install "hrvlm[{extra}]"`'
        )
