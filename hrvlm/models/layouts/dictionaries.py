"""Dictionaries of weights as they are published, one line of a table each: what they hold and under which names.

The keys are those that open_clip's training writes; TeCoA (arXiv 2212.07016) and PMG-AFT (arXiv 2401.04350), which keep
the image tower beside learned prompts; FARE (arXiv 2402.12336) and its successors, which store the tower alone; OpenAI;
and transformers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hrvlm.models.checkpoint import Activation

_PREFIXES = ("module.", "_orig_mod.", "model.", "clip.", "clip_model.")
_VISUAL = "visual."
_RUN_NAME = re.compile(r"model_([\w.-]+?)-lr_")  # how open_clip's training names a run by default


@dataclass(frozen=True)
class Weights:
    """Weights of a file, by open_clip's names.

    Attributes:
        state: Of a whole model or, without "visual." before the names, of an image tower.
        is_tower: Whether they are those of the image tower alone.
        what: What they are, in words.
        activation: That they were trained with, if their layout says so.
        architecture: That they were trained with, if they say so.
    """

    state: dict[str, Tensor]
    is_tower: bool
    what: str
    activation: Activation | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class Dictionary:
    """A layout of a dictionary.

    Attributes:
        what: What it is, in words.
        recognised: Whether a file's content is of the layout.
        state: Its weights, by the names that it has.
        activation: That all such weights were trained with; None where it varies.
    """

    what: str
    recognised: Callable[[Mapping[str, Any]], bool]
    state: Callable[[Mapping[str, Any]], Any]
    activation: Activation | None = None


def _vision_encoder(content: Mapping[str, Any]) -> Any:
    """The image tower of TeCoA's form, if no prompts were learned beside it."""
    for name in ("state_dict", "add_prompter"):
        prompts = content.get(name)
        if isinstance(prompts, Mapping) and any(
            isinstance(value, Tensor) and value.numel() for value in prompts.values()
        ):
            raise ValueError(
                f"expected an image tower without learned prompts, got some as {name!r}, which change features"
            )
    return content["vision_encoder_state_dict"]


LAYOUTS: tuple[Dictionary, ...] = (
    Dictionary(
        "image tower as TeCoA and PMG-AFT store it",
        lambda c: "vision_encoder_state_dict" in c,
        _vision_encoder,
        "quick_gelu",
    ),
    Dictionary("a training checkpoint as open_clip writes it", lambda c: "state_dict" in c, lambda c: c["state_dict"]),
    Dictionary("a training checkpoint", lambda c: "model_state_dict" in c, lambda c: c["model_state_dict"]),
    Dictionary("a training checkpoint", lambda c: isinstance(c.get("model"), Mapping), lambda c: c["model"]),
    Dictionary("OpenAI's weights", lambda c: "input_resolution" in c, lambda c: c, "quick_gelu"),
    Dictionary("a dictionary of weights", lambda c: True, lambda c: c),
)
"""Known dictionaries; the first that recognises a file's content reads it."""


def read_dictionary(content: Mapping[str, Any], tower_names: set[str], where: object) -> Weights:
    """The weights in a file's content.

    Args:
        content: As read from the file.
        tower_names: Names in the architecture's own image tower, which tell a tower's names from a whole model's.
        where: The file, for messages.

    Raises:
        ValueError: If it holds no weights.
    """
    layout = next(layout for layout in LAYOUTS if layout.recognised(content))
    try:
        found = layout.state(content)
    except ValueError as error:
        raise ValueError(f"{error}, in {where}") from error
    if not isinstance(found, Mapping) or not any(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"expected tensors by name in {where}, got {layout.what} without any")
    state = _without_prefixes({str(name): value for name, value in found.items()})
    bare = not any(name.startswith(_VISUAL) for name in state)
    is_tower = bare and any(name in tower_names for name in state if not _shared(name))
    if not bare and all(name.startswith(_VISUAL) for name in state):
        state, is_tower = {name.removeprefix(_VISUAL): value for name, value in state.items()}, True
    what = layout.what if not is_tower or "image tower" in layout.what else f"image tower alone, in {layout.what}"
    return Weights(state, is_tower, what, layout.activation, _architecture(content))


def _shared(name: str) -> bool:
    """Whether a name occurs in towers of both kinds."""
    return name.startswith("transformer.") or name == "positional_embedding"


def _without_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """Names without what wrappers put before all of them."""
    while (prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)) is not None:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _architecture(content: Mapping[str, Any]) -> str | None:
    """The architecture that open_clip's training puts into a run's name, which its checkpoints carry."""
    name = content.get("name")
    found = _RUN_NAME.search(name) if isinstance(name, str) else None
    return None if found is None else found.group(1)
