"""Models of the Hugging Face hub by name, found on this machine where they were fetched once."""

from __future__ import annotations

import ssl
from contextlib import nullcontext
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import huggingface_hub.constants
import open_clip
from open_clip.pretrained import download_pretrained_from_hf

from hrvlm.models.building import CONFIG_FILE, from_config, quiet_logging, read_config
from hrvlm.models.companions import TOKENIZER_FILE, stored_tokenizer
from hrvlm.models.descriptions import checked_description, offline
from hrvlm.models.layouts.dictionaries import read_dictionary
from hrvlm.models.layouts.fitting import load_fitting
from hrvlm.models.layouts.weight_files import read_weights
from hrvlm.models.vision_language import VisionLanguageModel

SCHEME = "hf-hub:"
PATIENCE = 5.0
"""Seconds in which the hub must answer; its client alone takes a minute to find that there is no network."""


def load_from_hub(name: str) -> VisionLanguageModel:
    """An open_clip model of the hub.

    Files that were fetched before are taken as they are, without asking the network; others are fetched by open_clip's
    own loader, as safetensors where the hub has them.

    Args:
        name: For example "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K".

    Raises:
        ValueError: If the hub has no such model of open_clip, or it was never fetched and there is no network.
    """
    model_id = name.removeprefix(SCHEME)
    config = read_config(_found(model_id, CONFIG_FILE))
    config = checked_description(config) | {"preprocess_cfg": config.get("preprocess_cfg", {})}
    file = _found(model_id, None)
    files = _tokenizer_files(name, config["model_cfg"]["text_cfg"])
    model = from_config(config, name=name, num_bytes=file.stat().st_size, files=files)
    weights = read_dictionary(read_weights(file), set(model.clip.visual.state_dict()), file)
    load_fitting(model.clip, weights.state, where=file, what=f"{name} as its {CONFIG_FILE} describes it")
    return model.eval()


def _found(model_id: str, filename: str | None) -> Path:
    """A file of a model: from this machine, or fetched; None is its weights."""
    try:
        with offline(), quiet_logging():
            return Path(download_pretrained_from_hf(model_id, filename))
    except (OSError, ValueError):
        pass
    wanted = filename or "its weights"
    lacking = f"expected {wanted} of {model_id} on this machine or from the hub, found neither: "
    mend = f"; fetch it where there is a network with `hf download {model_id}`"
    if not _hub_answers():
        raise ValueError(f"{lacking}it was never fetched, and {_silent()}{mend}")
    try:
        with quiet_logging():
            return Path(download_pretrained_from_hf(model_id, filename))
    except Exception as error:  # of whatever library the hub's client uses for the network
        raise ValueError(f"{lacking}it may be no model of open_clip, or there is no network{mend}") from error


def _silent() -> str:
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to ask"
    return f"{huggingface_hub.constants.ENDPOINT} does not answer within {PATIENCE:g} s"


def _hub_answers() -> bool:
    """Whether there is any use in asking the hub."""
    constants = huggingface_hub.constants
    return not constants.HF_HUB_OFFLINE and answers(constants.ENDPOINT, PATIENCE)


def answers(address: str, seconds: float) -> bool:
    """Whether a server answers a request, whatever it says, in time; looking up its name counts, too.

    Args:
        address: such as "https://huggingface.co".
        seconds: how long it may take.
    """
    said: list[bool] = []

    def ask() -> None:
        try:
            with urlopen(Request(address, method="HEAD"), timeout=seconds):
                said.append(True)
        except HTTPError:
            said.append(True)
        except URLError as error:  # a certificate of its own is for the hub's client to judge
            said.append(isinstance(error.reason, ssl.SSLError))
        except Exception:  # whatever else a server may say that is no answer
            said.append(False)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return any(said)


def _tokenizer_files(name: str, text_cfg: dict[str, object]) -> dict[str, str]:
    """A Hugging Face tokenizer's files; none for open_clip's own."""
    if not text_cfg.get("hf_tokenizer_name"):
        return {}
    try:
        with quiet_logging(), nullcontext() if _hub_answers() else offline():
            found = stored_tokenizer(open_clip.get_tokenizer(name), text_cfg)
    except (OSError, ImportError) as error:
        wanted = text_cfg["hf_tokenizer_name"]
        raise ValueError(
            f"expected the tokenizer {wanted!r} of {name} on this machine or from the hub, found neither; "
            f"fetch it where there is a network with `hf download {wanted}`"
        ) from error
    files: dict[str, str] = getattr(found, "files", {})
    return files if TOKENIZER_FILE in files else {}
