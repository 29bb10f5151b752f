"""Loads any generative model by one name or path."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from hrvlm.generative.decoding import Decoding
from hrvlm.generative.endpoint_client import EndpointOptions
from hrvlm.generative.generator import Generator
from hrvlm.models.checkpoint import Checkpoint, name_alone

PACKAGED = {"emoji-captioner": Path(__file__).parent / "emoji_captioner"}
CAPTIONER_FILE = "captioner.json"
SCHEMES = ("http://", "https://")


def load_generator(
    path: str | Path | Checkpoint,
    *,
    prompt: str | None = None,
    decoding: Decoding | None = None,
    device: str | torch.device = "cpu",
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
        endpoint: How a server is asked; None for the defaults.

    Returns:
        The generator.

    Raises:
        ValueError: If nothing of the kind is there, files do not fit each other, a needed package is missing, or a
            server cannot be reached.
    """
    name, decoding = name_alone(path, "a model that answers in words"), decoding or Decoding()
    if name.startswith(SCHEMES):
        from hrvlm.generative.endpoint import load_endpoint

        return load_endpoint(name, prompt=prompt, decoding=decoding, options=endpoint).eval()
    return _load(name, prompt, decoding).to(device).eval()


def _load(path: str, prompt: str | None, decoding: Decoding) -> Generator:
    folder = PACKAGED.get(path, Path(path))
    name, _, tag = path.rpartition("/")
    if (folder / CAPTIONER_FILE).is_file():
        from hrvlm.generative.captioner_files import load_captioner

        return load_captioner(folder, prompt=prompt, decoding=decoding)
    if name.startswith("coca_") and not folder.exists():
        from hrvlm.generative.coca import load_coca

        return load_coca(name, tag, prompt=prompt, decoding=decoding)
    if (folder / "config.json").is_file():
        _require("transformers", "generative")
        from hrvlm.generative.transformers_model import load_transformers

        return load_transformers(folder, prompt=prompt, decoding=decoding)
    raise ValueError(
        f"expected path as one of {sorted(PACKAGED)}, a folder with {CAPTIONER_FILE} or transformers' config.json, "
        'an open_clip CoCa with its tag such as "coca_ViT-B-32/laion2b_s13b_b90k", or the address of a server such as '
        f'"http://127.0.0.1:8000/v1", got {path!r}'
    )


def _require(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f'expected the package {package} to be installed, found none; run `pip install "hrvlm[{extra}]"`'
        )
