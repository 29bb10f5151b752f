"""Weights of one name meet a model of another: what does not fit is named, and nothing is left as it was by chance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hrvlm.models.finite import check_finite
from hrvlm.trees.words import printable

NAMED = 3
# Numbers that follow from the architecture; former versions of libraries stored them.
DERIVED = re.compile(r"(^|\.)(position_ids|attn_mask)$|^(input_resolution|context_length|vocab_size)$")


def few(names: Sequence[str]) -> str:
    """The first names, and how many there are besides."""
    shown = ", ".join(printable(str(name))[:80] for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def without_derived(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without what follows from the architecture."""
    return {name: value for name, value in state.items() if not DERIVED.search(str(name))}


def load_fitting(module: nn.Module, state: Mapping[str, Any], *, where: object, what: str) -> None:
    """Loads weights that a module has all of, in its shapes, and no others.

    Args:
        module: Gets the weights.
        state: Weights by the module's names; numbers that follow from the architecture are passed over.
        where: What they were read from, for the message.
        what: What the module is, for the message.

    Raises:
        ValueError: Naming wrong shapes, missing and unexpected names, a few of each; or if weights are not finite.
    """
    expected, given = without_derived(module.state_dict()), without_derived(state)
    check_names(expected, given, where=where, what=what)
    check_finite(given, where)
    module.load_state_dict({name: value.reshape(expected[name].shape) for name, value in given.items()}, strict=False)


def check_names(expected: Mapping[str, Tensor], given: Mapping[str, Any], *, where: object, what: str) -> None:
    """Compares names and shapes; see `load_fitting`.

    Raises:
        ValueError: If they differ.
    """
    no_tensors = [name for name, value in given.items() if not isinstance(value, Tensor)]
    if no_tensors:
        raise ValueError(f"expected tensors alone in {where}, got others as {few(no_tensors)}")
    shapes = [
        f"{name} of shape {tuple(given[name].shape)} where it has {tuple(value.shape)}"
        for name, value in expected.items()
        if name in given and not _alike(value, given[name])
    ]
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    told = {"": shapes, "no ": missing, "the unknown ": unexpected}
    problems = [f"{start}{few(names)}" for start, names in told.items() if names]
    if problems:
        raise ValueError(
            f"expected in {where} the weights of {what}, got {'; '.join(problems)}; state the architecture that "
            "they were made with"
        )


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether shapes agree; a single number may have any."""
    return ours.shape == theirs.shape or (ours.numel() == theirs.numel() == 1)
