"""Prompts of semantic changes as a model embeds them, once for all images that are named alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute, check_changes
from hrvlm.models import VisionLanguageModel
from hrvlm.trees.words import with_name

_KEPT = 256  # names: some 50 MiB of a dozen changes
_ALIKE = 0.01  # of the length; the same tokens lead to the same output but for its rounding


class NamedPrompts(NamedTuple):
    """The prompts of N changes of images that are named alike."""

    texts: list[str]  # source and target of each change, one after the other
    source: Tensor  # (N, D) float64
    target: Tensor  # (N, D) float64


class ChangePrompts:
    """Embeds the prompts of changes; those of the names that came last are kept.

    Args:
        model: whose weights stay as they are.
        attributes: the changes, embedded together.
    """

    def __init__(self, model: VisionLanguageModel, attributes: Sequence[Attribute]) -> None:
        self._model, self._attributes = model, attributes
        self._kept: OrderedDict[str, NamedPrompts] = OrderedDict()

    def __call__(self, noun: str) -> NamedPrompts:
        """Those of images that a noun names.

        Raises:
            ValueError: if the model cannot see a change that only words tell.
        """
        found = self._kept.pop(noun, None) or self._embedded(noun)
        self._kept[noun] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def _embedded(self, noun: str) -> NamedPrompts:
        prompts = [prompt for attribute in self._attributes for prompt in (attribute.source, attribute.target)]
        texts = [with_name(prompt, noun) for prompt in prompts]
        hidden = self._model.text_hidden(texts)
        check_seen(self._model, [(change, noun) for change in self._attributes], hidden[::2], hidden[1::2])
        source, target = self._model.project_text(hidden).double().unflatten(0, (-1, 2)).unbind(dim=1)
        return NamedPrompts(texts, source, target)


def check_seen(
    model: VisionLanguageModel, changes: Sequence[tuple[Attribute, str]], source: Tensor, target: Tensor
) -> None:
    """Does what `check_changes` does; tokens are compared only where outputs of the text tower are nearly the same.

    Args:
        model: the model.
        changes: N changes, each with what names the image.
        source: `(N, W)` output of the text tower for their source prompts.
        target: `(N, W)` likewise for the target prompts.
    """
    differing = (source - target).norm(dim=1) > _ALIKE * source.norm(dim=1)
    for (change, noun), differs in zip(changes, differing.tolist(), strict=True):
        if not differs:  # or is not a number
            check_changes(model, [change], noun)
